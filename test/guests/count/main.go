// Command count says how many instructions each path of a relay takes for a MiB, in
// a guest whose clock counts them (QEMU's -icount shift=0: one is a nanosecond). Two
// relays carry a stream, application to application, over loopback:
//
//	app ── unix ── relay ══ TLS 1.3 over TCP ══ relay ── unix ── app
//
// All of it is counted, the kernel's part and the applications' own reads and writes
// included. Instructions are not time: one of AES and one move count the same.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/relay"
)

// mebibytes of a stream that are counted, after as many that are not.
const mebibytes = 4

func main() {
	if err := run(); err != nil {
		fmt.Println("count:", err)
		os.Exit(1)
	}
}

// way is what the two ends of a connection do.
type way struct {
	name    string
	a, b    relay.TLS // a sends
	clear   bool
	copying bool // io.Copy over tls.Conn instead of relays
}

var (
	records = relay.TLS{Path: relay.Records}
	library = relay.TLS{Path: relay.CryptoTLS}
	kernel  = relay.TLS{Path: relay.KTLS}
	sends   = relay.TLS{Path: relay.KTLS, Kernel: relay.Kernel{NotReceive: true}}
	takes   = relay.TLS{Path: relay.KTLS, Kernel: relay.Kernel{NotSend: true}}
)

var ways = []way{
	{name: "splice (no TLS)", clear: true},
	{name: "ktls", a: kernel, b: kernel},
	{name: "ktls sends, records receives", a: sends, b: records},
	{name: "records sends, ktls receives", a: records, b: takes},
	{name: "records", a: records, b: records},
	{name: "crypto/tls, in the relay", a: library, b: library},
	{name: "io.Copy over crypto/tls", copying: true},
}

const rounds = 3

func run() error {
	one, err := calibrate()
	if err != nil {
		return err
	}
	cfg, err := credentials()
	if err != nil {
		return err
	}
	if s := ktls.Test(tls.TLS_AES_128_GCM_SHA256); s.Send != nil || s.Receive != nil {
		return errors.Join(s.Send, s.Receive)
	}
	fmt.Printf("count: %.3f instructions on the clock for each of a loop\n", one)
	fmt.Println("count: instructions for a byte, both ends together, AES-128-GCM, median of", rounds, "(least to most)")
	for _, w := range ways {
		var got []float64
		for range rounds {
			n, err := w.count(cfg)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			got = append(got, n/(mebibytes<<20))
		}
		slices.Sort(got)
		fmt.Printf("count: %-30s %6.2f (%.2f to %.2f)  %5.2f million/MiB\n", w.name, got[rounds/2], got[0], got[rounds-1], got[rounds/2]*(1<<20)/1e6)
	}
	return nil
}

// count carries a stream and returns the instructions of its second half.
func (w way) count(cfg *tls.Config) (float64, error) {
	a, b, err := pair("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	source, in, err := pair("unix", filepath.Join(dir, "a"))
	if err != nil {
		return 0, err
	}
	sink, out, err := pair("unix", filepath.Join(dir, "b"))
	if err != nil {
		return 0, err
	}
	errs := make(chan error, 3)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { errs <- w.end(a, in, cfg, true) })
	all.Go(func() { errs <- w.end(b, out, cfg, false) })
	all.Go(func() {
		block := make([]byte, 1<<20)
		for range 2 * mebibytes {
			if _, err := source.Write(block); err != nil {
				errs <- err
				return
			}
		}
		errs <- source.(*net.UnixConn).CloseWrite()
	})
	block := make([]byte, 1<<20)
	var t span
	for i := range 2 * mebibytes {
		if i == mebibytes {
			t = begin()
		}
		if _, err := io.ReadFull(sink, block); err != nil {
			source.Close()
			sink.Close()
			return 0, errors.Join(err, <-errs)
		}
	}
	n := t.instructions()
	sink.Close()
	source.Close()
	for range cap(errs) {
		<-errs // the sink has gone before the streams had ended
	}
	return n, nil
}

// end carries one end.
func (w way) end(raw, local net.Conn, cfg *tls.Config, client bool) error {
	ctx := context.Background()
	switch {
	case w.clear:
		return relay.Run(ctx, local, relay.Plain(raw), relay.Options{}).Err
	case w.copying && client:
		defer raw.Close()
		_, err := io.Copy(tls.Client(raw, cfg), local)
		return err
	case w.copying:
		defer local.Close()
		_, err := io.Copy(local, tls.Server(raw, cfg))
		return err
	}
	handshake := w.b.Server
	if client {
		handshake = w.a.Client
	}
	c, err := handshake(ctx, raw, cfg)
	if err != nil {
		return err
	}
	return relay.Run(ctx, local, c, relay.Options{Workers: 1}).Err
}

func pair(network, address string) (a, b net.Conn, err error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if a, err = net.Dial(network, l.Addr().String()); err != nil {
		return nil, nil, err
	}
	b, err = l.Accept()
	return a, b, err
}

// span is a time in which instructions are counted.
type span time.Duration

func begin() span { return span(processor()) }

// instructions are the nanoseconds of the processor that the process has had since,
// with what the kernel did in its name: on one processor that is also TCP's way over
// loopback. What else the guest has to do is not in it.
func (s span) instructions() float64 { return float64(processor() - time.Duration(s)) }

func processor() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
