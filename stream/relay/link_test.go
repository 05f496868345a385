package relay

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"golang.org/x/sys/unix"
)

// A relay whose peer is unreachable, with bytes on their way, ends in the time that
// it is given; one whose peer answers, and reads nothing, does not.
func TestDeadLink(t *testing.T) {
	needs.Root(t, "to make a network that can be cut")
	for _, dead := range []bool{false, true} {
		var a, b net.Conn
		var cut func()
		inNetwork(t, func(set func(up bool)) {
			set(true)
			a, b = tcpPair(t)
			cut = func() { set(false) }
		})
		ca, cb := handshakeOver(t, a, b, tls.VersionTLS13, Auto)
		app, local := unixPair(t)
		var counters Counters
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan Result, 1)
		const patience = 2 * time.Second
		go func() { done <- Run(ctx, local, ca, Options{Counters: &counters, DeadLink: patience}) }()
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for {
				if _, err := app.Write(noise(1 << 16)); err != nil {
					return
				}
			}
		}()
		if !dead {
			waitFull(t, &counters)
		}
		began := time.Now()
		if dead {
			cut()
		}
		select {
		case r := <-done:
			if !dead {
				t.Errorf("one that answers: %+v", r)
				break
			}
			wantError(t, "cut off", r, Remote, unix.ETIMEDOUT)
			if took := time.Since(began); took > 3*patience {
				t.Errorf("it took %v", took)
			}
		case <-time.After(5 * patience):
			if dead {
				t.Error("it goes on without an answer")
			}
			cancel()
			<-done
		}
		cancel()
		app.Close()
		<-writing
		carrier(cb).Close()
	}
}

// inNetwork calls f in a network namespace of its own, whose loopback set turns on
// and off. The sockets that f makes stay there.
func inNetwork(t *testing.T, f func(set func(up bool))) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(home)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer unix.Setns(home, unix.CLONE_NEWNET)
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(control) })
	f(func(up bool) {
		ifr, err := unix.NewIfreq("lo")
		if err != nil {
			t.Fatal(err)
		}
		if up {
			ifr.SetUint16(unix.IFF_UP)
		}
		if err := unix.IoctlIfreq(control, unix.SIOCSIFFLAGS, ifr); err != nil {
			t.Fatal(err)
		}
	})
}
