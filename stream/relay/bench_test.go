package relay

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkBulk moves a gibibyte in one direction, over 1 and over 16 channels.
// GB/cpu-s is for both relays together.
func BenchmarkBulk(b *testing.B) {
	for _, streams := range []int{1, 16} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			size := benchSize()
			b.SetBytes(int64(size * len(chosen())))
			stats := newTable()
			for range b.N {
				for _, c := range chosen() {
					p := startPair(b, c.name, streams)
					began := time.Now()
					var wg sync.WaitGroup
					for i := range streams {
						wg.Go(func() { supply(b, p.source[i], size/streams); p.sink[i].(halfCloser).CloseWrite() })
						wg.Go(func() { drainAll(b, p.sink[i], size/streams) })
					}
					wg.Wait()
					wall := time.Since(began)
					for i := range streams {
						p.source[i].Close()
						p.sink[i].Close()
					}
					cpu, rss := p.cost(b)
					stats.add(c.name, "GB/cpu-s", float64(size)/1e9/(cpu[0]+cpu[1]).Seconds())
					stats.add(c.name, "send-cpu-s/GB", cpu[0].Seconds()*1e9/float64(size))
					stats.add(c.name, "recv-cpu-s/GB", cpu[1].Seconds()*1e9/float64(size))
					stats.add(c.name, "GB/s", float64(size)/1e9/wall.Seconds())
					stats.add(c.name, "MiB-rss", float64(rss)/(1<<20))
				}
				// The limit: what moving without TLS costs, and AES besides.
				aes := aesCost(b, size/4).Seconds() * 1e9 / float64(size/4)
				stats.add("aes", "GB/cpu-s", 1/aes)
				if v := stats.rounds["splice"+"GB/cpu-s"]; len(v) > 0 {
					stats.add("limit", "GB/cpu-s", 1/(1/v[len(v)-1]+aes))
				}
			}
			stats.report(b)
		})
	}
}

// aesCost is the CPU time of sealing and opening n bytes in full records, as the
// relays do: in place, in batches.
func aesCost(b *testing.B, n int) time.Duration {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		b.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	const plain, stride, slots = 16384, 16384 + 22, 12
	mem := make([]byte, slots*stride)
	nonce := make([]byte, 12)
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_THREAD, &before)
	for ; n > 0; n -= slots * plain {
		for i := range slots {
			m := mem[i*stride:]
			gcm.Seal(m[5:5], nonce, m[5:5+plain+1], m[:5])
		}
		for i := range slots {
			m := mem[i*stride:]
			if _, err := gcm.Open(m[5:5], nonce, m[5:stride], m[:5]); err != nil {
				b.Fatal(err)
			}
		}
	}
	unix.Getrusage(unix.RUSAGE_THREAD, &after)
	return time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}

var pages = sync.OnceValue(func() []byte { return noise(1 << 20) })

func supply(b *testing.B, c net.Conn, n int) {
	for n > 0 {
		m, err := c.Write(pages()[:min(n, len(pages()))])
		if err != nil {
			b.Error(err)
			return
		}
		n -= m
	}
	closeWrite(c)
}

func drainAll(b *testing.B, c net.Conn, want int) {
	buf := make([]byte, 1<<20)
	got := 0
	for {
		n, err := c.Read(buf)
		got += n
		if err != nil {
			break
		}
	}
	if got != want {
		b.Errorf("%d bytes came out, want %d", got, want)
	}
}

// BenchmarkPingPong is post-copy's latency: a request of one size, an answer of the same.
func BenchmarkPingPong(b *testing.B) {
	for _, size := range []int{1, 4096} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			const times = 2000
			stats := newTable()
			for range b.N {
				for _, c := range chosen() {
					p := startPair(b, c.name, 1)
					source, sink := p.source[0], p.sink[0]
					var wg sync.WaitGroup
					wg.Go(func() {
						buf := make([]byte, size)
						for {
							if _, err := io.ReadFull(sink, buf); err != nil {
								closeWrite(sink)
								return
							}
							sink.Write(buf)
						}
					})
					buf := make([]byte, size)
					took := make([]time.Duration, times)
					for i := range took {
						began := time.Now()
						source.Write(buf)
						if _, err := io.ReadFull(source, buf); err != nil {
							b.Fatal(err)
						}
						took[i] = time.Since(began)
					}
					closeWrite(source)
					wg.Wait()
					slices.Sort(took)
					cpu, _ := p.cost(b)
					stats.add(c.name, "us-p50", took[times/2].Seconds()*1e6)
					stats.add(c.name, "us-p99", took[times*99/100].Seconds()*1e6)
					stats.add(c.name, "us-cpu", (cpu[0]+cpu[1]).Seconds()*1e6/times)
					source.Close()
					sink.Close()
				}
			}
			stats.report(b)
		})
	}
}

// BenchmarkBeside moves bytes over many channels at once, for a while, and over one
// more a message of 64 bytes there and back again, as post-copy does beside other
// migrations. Fastest and slowest are against the median of the channels.
func BenchmarkBeside(b *testing.B) {
	for _, streams := range []int{0, 1, 2, 4, 16, 64} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			stats := newTable()
			for range b.N {
				for _, c := range chosen() {
					beside(b, c.name, streams, stats)
				}
			}
			stats.report(b)
		})
	}
}

func beside(b *testing.B, name string, streams int, stats *table) {
	p := startPair(b, name, streams+1)
	moved := make([]int64, streams)
	var wg sync.WaitGroup
	began := time.Now()
	stop := began.Add(4 * time.Second)
	for i := range streams {
		wg.Go(func() {
			for time.Now().Before(stop) {
				if _, err := p.source[i].Write(pages()[:256<<10]); err != nil {
					b.Error(err)
					return
				}
			}
			closeWrite(p.source[i])
		})
		wg.Go(func() {
			buf := make([]byte, 1<<20)
			for {
				n, err := p.sink[i].Read(buf)
				moved[i] += int64(n)
				if err != nil {
					break
				}
			}
			closeWrite(p.sink[i])
		})
	}
	source, sink := p.source[streams], p.sink[streams]
	wg.Go(func() {
		io.Copy(sink, onlyReader{sink})
		closeWrite(sink)
	})
	var took []time.Duration
	buf := make([]byte, 64)
	for time.Now().Before(stop) {
		at := time.Now()
		source.Write(buf)
		if _, err := io.ReadFull(source, buf); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(at))
	}
	closeWrite(source)
	wg.Wait()
	for i := range p.source {
		p.source[i].Close()
		p.sink[i].Close()
	}
	cpu, rss := p.cost(b)
	slices.Sort(took)
	slices.Sort(moved)
	stats.add(name, "us-p50", took[len(took)/2].Seconds()*1e6)
	stats.add(name, "us-p99", took[len(took)*99/100].Seconds()*1e6)
	if streams > 0 {
		sum := int64(0)
		for _, n := range moved {
			sum += n
		}
		middle := float64(moved[streams/2])
		stats.add(name, "GB/cpu-s", float64(sum)/1e9/(cpu[0]+cpu[1]).Seconds())
		stats.add(name, "GB/s", float64(sum)/1e9/time.Since(began).Seconds())
		stats.add(name, "fastest", float64(moved[streams-1])/middle)
		stats.add(name, "slowest", float64(moved[0])/middle)
	}
	stats.add(name, "MiB-rss", float64(rss)/(1<<20))
}

// benchSize is a stream's bytes: RELAY_BENCH_MIB mebibytes, or a gibibyte.
func benchSize() int {
	n := 1024
	fmt.Sscan(os.Getenv("RELAY_BENCH_MIB"), &n)
	return n << 20
}
