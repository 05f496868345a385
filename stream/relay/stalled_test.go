package relay

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
	"golang.org/x/sys/unix"
)

// Many streams whose receivers read nothing take neither the memory nor the speed
// of one beside them, and what the kernel holds for each is bounded.
func TestStalledStreams(t *testing.T) {
	const stalled = 500
	for _, h := range hops {
		if h.name != "records" && h.name != "crypto/tls 1.3" && h.name != "ktls" {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			live := h.start(t)
			b := noise(1 << 20)
			// speed is what a second of processor time moves, at best: others use this machine's caches
			// too, for seconds at a time. It ends once it is enough: what counts is what stays slow.
			speed := func(tries int, enough float64) (best float64) {
				const n = 8
				for range tries {
					began := cpuTime(t)
					var wg sync.WaitGroup
					wg.Go(func() {
						for range n {
							writeAll(t, live.app[0], b)
						}
					})
					for range n {
						expect(t, live.app[1], b)
					}
					wg.Wait()
					if best = max(best, n/(cpuTime(t)-began).Seconds()); best >= enough {
						break
					}
				}
				return best
			}
			live.app[0].SetDeadline(time.Time{})
			live.app[1].SetDeadline(time.Time{})
			alone := speed(20, math.Inf(1))
			held := tcpMemory(t)

			var wg sync.WaitGroup
			cs := make([]*chain, stalled)
			for i := range cs {
				cs[i] = h.start(t)
				wg.Go(func() {
					for { // until nothing has gone for a while
						cs[i].app[0].SetWriteDeadline(time.Now().Add(2 * time.Second))
						if _, err := cs[i].app[0].Write(b); err != nil {
							return
						}
					}
				})
			}
			wg.Wait()
			held = tcpMemory(t) - held
			takeAll(t)()
			if n := buffer.Lent(); n > 32<<20 {
				t.Errorf("%d MiB are lent to streams that wait", n>>20)
			}
			if most := int64(stalled * 2 << 20); held > most {
				t.Errorf("TCP holds %d MiB for %d streams, more than %d", held>>20, stalled, most>>20)
			}
			beside := speed(400, 0.8*alone)
			for _, c := range cs {
				for i := range 2 {
					c.cancel[i](io.ErrClosedPipe)
				}
				c.close(t)
			}
			t.Logf("MiB for a second of processor time: %.0f alone, %.0f beside %d stalled streams; TCP held %d MiB for them",
				alone, beside, stalled, held>>20)
			if beside < 0.8*alone {
				t.Error("that is less than 0.8")
			}
			closeWriteOf(t, live.app[0])
			closeWriteOf(t, live.app[1])
			for i := range 2 {
				if r := live.wait(t, i); r.Err != nil {
					t.Error(r.Err)
				}
			}
			live.close(t)
		})
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tcpMemory is what TCP holds in bytes, all of this network namespace's sockets and
// others': the kernel counts no finer.
func tcpMemory(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "\nTCP:")
	_, pages, _ := strings.Cut(line, " mem ")
	n := int64(0)
	if _, err := fmt.Sscan(pages, &n); err != nil {
		t.Fatal(err)
	}
	return n * int64(os.Getpagesize())
}
