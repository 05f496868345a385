package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func isErr(err, target error) bool        { return errors.Is(err, target) }
func asErr[T error](err error, t *T) bool { return errors.As(err, t) }

func wantError(t testing.TB, name string, r Result, side Side, is ...error) {
	t.Helper()
	var e *Error
	if !errors.As(r.Err, &e) || e.Side != side {
		t.Errorf("%s: %v, want an error on side %q", name, r.Err, side)
		return
	}
	for _, target := range is {
		if !errors.Is(r.Err, target) {
			t.Errorf("%s: %v, want %v", name, r.Err, target)
		}
	}
}

// The peer's TCP ends in order, its TLS does not: at a record's boundary, where
// crypto/tls sees a clean end, and in the middle of one.
func TestTruncation(t *testing.T) {
	for _, h := range hops {
		if h.at(1) != CryptoTLS && h.at(1) != Records && h.at(1) != KTLS {
			continue
		}
		for _, partial := range []string{"", "\x17", "\x17\x03\x03\x00\x40", "\x17\x03\x03\x00\x40half"} {
			a, b := h.link(t)
			app, local := unixPair(t)
			writeAll(t, a, []byte("data"))
			writeAll(t, carrier(a), []byte(partial))
			closeWriteOf(t, carrier(a))
			done := make(chan Result, 1)
			go func() { done <- Run(t.Context(), local, b, Options{}) }()
			expect(t, app, []byte("data"))
			r := <-done
			wantError(t, h.name+" "+partial, r, Remote, ErrTruncated)
			if r.Received != 4 {
				t.Errorf("received %d bytes, want 4", r.Received)
			}
			carrier(a).Close()
		}
	}
}

// A relay that is stopped never lets the other end take it for an orderly end.
func TestCancelIsNoOrderlyEnd(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		stopped := errors.New("stopped by the test")
		c := h.start(t)
		writeAll(t, c.app[0], []byte("some"))
		expect(t, c.app[1], []byte("some"))
		c.cancel[0](stopped)
		wantError(t, "cancelled", c.wait(t, 0), Here, stopped)
		if h.name == "splice unix-unix" {
			// A unix socket has no reset; nothing can be told.
			c.app[1].Close()
		} else {
			wantError(t, "its peer", c.wait(t, 1), Remote)
		}
		c.close(t)
	})
}

// Who closes the peer's Conn while it is relayed stops the relay; the peer must
// not see an orderly end.
func TestCloseIsNoOrderlyEnd(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		c := h.start(t)
		writeAll(t, c.app[0], []byte("some"))
		expect(t, c.app[1], []byte("some"))
		c.link[0].Close()
		wantError(t, "closed", c.wait(t, 0), Here, net.ErrClosed)
		if h.name == "splice unix-unix" {
			c.app[1].Close()
		} else {
			wantError(t, "its peer", c.wait(t, 1), Remote)
		}
		c.link[0].Close() // once more does no harm
		c.close(t)
	})
}

// Blocked in a write to a reader that is frozen: the context ends it.
func TestCancelWhileBlocked(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		c := h.start(t)
		var wg sync.WaitGroup
		wg.Go(func() { // until everything between is full
			b := noise(1 << 20)
			for {
				if _, err := c.app[0].Write(b); err != nil {
					return
				}
			}
		})
		waitFull(t, &c.count[0])
		began := time.Now()
		c.cancel[0](io.ErrNoProgress)
		wantError(t, "cancelled", c.wait(t, 0), Here, io.ErrNoProgress)
		if d := time.Since(began); d > blockedFor { // of itself it would not end at all
			t.Errorf("ended after %v", d)
		}
		c.cancel[1](io.ErrNoProgress)
		wantError(t, "reader's relay", c.wait(t, 1), c.sideOf(1))
		wg.Wait()
		c.close(t)
	})
}

// blockedFor is longer than a busy machine, or one that is emulated, takes to see a cancellation,
// and shorter than any timeout that would end a blocked write.
const blockedFor = 8 * time.Second

func (c *chain) sideOf(i int) Side {
	var e *Error
	r := <-c.result[i]
	c.result[i] <- r
	if errors.As(r.Err, &e) {
		return e.Side
	}
	return ""
}

// waitFull returns when a relay has moved bytes and then has moved none for a
// while: as its sockets are full.
func waitFull(t testing.TB, c *Counters) {
	t.Helper()
	last, since := int64(0), time.Now()
	for tick := time.Tick(10 * time.Millisecond); ; <-tick {
		if now := c.Sent.Load(); now != last {
			last, since = now, time.Now()
		}
		if last > 0 && time.Since(since) > 300*time.Millisecond {
			return
		}
	}
}

// The local application dies: with bytes to deliver to it, its relay knows, and
// says so; the other relay blames its peer.
func TestLocalDies(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		c := h.start(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			b := noise(1 << 16)
			for {
				if _, err := c.app[0].Write(b); err != nil {
					return
				}
			}
		})
		if _, err := io.ReadFull(c.app[1], make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		c.app[1].Close()
		wantError(t, "at the dead application", c.wait(t, 1), Local)
		// A writer sees EPIPE; a reader sees a reset where the dead one had
		// bytes unread. Which of the two directions is first is open.
		wantError(t, "its peer", c.wait(t, 0), Remote)
		wg.Wait()
		c.close(t)
	})
}

// The peer's host or daemon dies: a reset.
func TestPeerReset(t *testing.T) {
	for _, h := range hops {
		if strings.Contains(h.name, "unix-unix") {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			a, b := h.link(t)
			app, local := h.local(t)
			done := make(chan Result, 1)
			go func() { done <- Run(context.Background(), local, b, Options{}) }()
			writeAll(t, app, []byte("x"))
			expect(t, a, []byte("x"))
			Reset(carrier(a))
			wantError(t, "reset", <-done, Remote, syscall.ECONNRESET)
			if _, err := app.Read(make([]byte, 1)); err == nil {
				t.Error("the application still reads")
			}
			if _, ok := app.(*net.TCPConn); ok {
				if _, err := app.Read(make([]byte, 1)); err == nil {
					t.Error("the application was not reset")
				}
			}
			app.Close()
		})
	}
}

// A failure on a TCP socket's relay reaches the application as a reset.
func TestApplicationSeesReset(t *testing.T) {
	a, b := tlsLink(tls.VersionTLS13, Auto)(t)
	app, local := tcpPair(t)
	done := make(chan Result, 1)
	go func() { done <- Run(context.Background(), local, b, Options{}) }()
	closeWriteOf(t, carrier(a)) // no close_notify
	wantError(t, "cut off", <-done, Remote, ErrTruncated)
	if _, err := app.Read(make([]byte, 1)); !isErr(err, syscall.ECONNRESET) {
		t.Errorf("the application reads %v, want a reset", err)
	}
	carrier(a).Close()
}

// When a relay fails the next one sees a reset and no end, although that would do
// for it without a close_notify; and so do the applications at TCP sockets.
func TestFailureIsReset(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		if strings.Contains(h.name, "unix-unix") {
			return
		}
		for _, much := range []int{0, 8 << 20} {
			for _, stalled := range []bool{false, true} { // with bytes under way, or none
				failsByReset(t, h, much, stalled)
			}
		}
	})
}

func failsByReset(t *testing.T, h hop, much int, stalled bool) {
	stopped := errors.New("stopped by the test")
	c := h.startWith(t, [2]Options{{IgnoreUnexpectedEOF: true}, {IgnoreUnexpectedEOF: true}})
	writeAll(t, c.app[0], []byte("some"))
	expect(t, c.app[1], []byte("some"))
	var wg sync.WaitGroup
	wg.Go(func() { writeAll(t, c.app[0], make([]byte, much)) })
	expect(t, c.app[1], make([]byte, much))
	wg.Wait()
	if stalled {
		wg.Go(func() {
			for b := noise(1 << 20); ; {
				if _, err := c.app[0].Write(b); err != nil {
					return
				}
			}
		})
		waitFull(t, &c.count[0])
	}
	c.cancel[0](stopped)
	name := fmt.Sprintf("after %d MiB, stalled %v", much>>20, stalled)
	wantError(t, name, c.wait(t, 0), Here, stopped)
	if _, ok := c.app[0].(*net.TCPConn); ok && !stalled {
		if _, err := c.app[0].Read(make([]byte, 1)); !isErr(err, syscall.ECONNRESET) {
			t.Errorf("%s: its application reads %v, want a reset", name, err)
		}
	}
	_, err := io.Copy(io.Discard, onlyReader{c.app[1]})
	wantError(t, name+": the next relay", c.wait(t, 1), Remote, syscall.ECONNRESET)
	if _, ok := c.app[1].(*net.TCPConn); ok && !isErr(err, syscall.ECONNRESET) {
		t.Errorf("%s: the application there reads %v, want a reset", name, err)
	}
	wg.Wait()
	c.close(t)
}

// An alert of the peer's is named.
func TestAlertIsNamed(t *testing.T) {
	a, b := tcpPair(t)
	cfg := mutualTLS(tls.VersionTLS13)
	other := cfg.Clone()
	other.Certificates = nil // the server refuses after the client's handshake is over
	serr := make(chan error)
	go func() { _, err := Server(t.Context(), b, cfg); serr <- err }()
	peer, err := Client(t.Context(), a, other)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-serr; err == nil {
		t.Fatal("a client without certificate was let in")
	}
	app, local := unixPair(t)
	defer app.Close()
	r := Run(t.Context(), local, peer, Options{})
	wantError(t, "refused client", r, Remote)
	if !strings.Contains(r.Err.Error(), "certificate required") {
		t.Errorf("%v doesn't name the alert", r.Err)
	}
}
