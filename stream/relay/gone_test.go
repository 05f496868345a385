package relay

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An application that closes its socket with bytes unread resets it: a failure,
// unless the caller learns elsewhere whether it had done its work.
func TestLocalGone(t *testing.T) {
	for _, told := range []bool{false, true} {
		name := map[bool]string{false: "a failure", true: "told"}[told]
		t.Run(name, func(t *testing.T) {
			eachHop(t, func(t *testing.T, h hop) {
				a, b := h.link(t)
				app, local := h.local(t)
				var gone atomic.Int32
				var counters Counters
				opts := Options{Counters: &counters}
				if told {
					opts.LocalGone = func(err *Error) {
						if err.Side != Local {
							t.Errorf("told of %v", err)
						}
						gone.Add(1)
					}
				}
				done := make(chan Result, 1)
				go func() { done <- Run(t.Context(), local, b, opts) }()
				writeAll(t, a, []byte("unread"))
				delivered(t, &counters, 6)
				app.Close()
				if !told {
					wantError(t, "the relay", <-done, Local)
					carrier(a).Close()
					return
				}
				// The peer sees the end of the application's stream, and ends its own.
				a.SetReadDeadline(time.Now().Add(10 * time.Second))
				if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("the peer read %d, %v, want an orderly end", n, err)
				}
				if err := a.CloseWrite(); err != nil {
					t.Error(err)
				}
				if r := <-done; r.Err != nil || r.Received != 6 {
					t.Errorf("%+v, want an orderly end after 6 bytes", r)
				}
				if gone.Load() == 0 {
					t.Error("nobody was told")
				}
				carrier(a).Close()
			})
		})
	}
}

// What comes for an application that has gone is thrown away, to its orderly end.
func TestLocalGoneBeforeTheLast(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		a, b := h.link(t)
		app, local := h.local(t)
		told := make(chan *Error, 2)
		done := make(chan Result, 1)
		go func() { done <- Run(t.Context(), local, b, Options{LocalGone: func(err *Error) { told <- err }}) }()
		app.Close()
		var err *Error
		for end := time.After(10 * time.Second); err == nil; {
			writeAll(t, a, []byte("for nobody"))
			select {
			case err = <-told:
			case <-end:
				t.Fatal("nobody was told")
			case <-time.After(time.Millisecond): // a TCP socket takes the first bytes
			}
		}
		writeAll(t, a, noise(4<<20)) // more than any socket holds
		if err := a.CloseWrite(); err != nil {
			t.Error(err)
		}
		if r := <-done; r.Err != nil {
			t.Errorf("%v, want an orderly end", r.Err)
		}
		carrier(a).Close()
	})
}

// A peer that needs no close_notify, and resets the connection after ours: it may
// have left that unread, and nothing else.
func TestResetAfterCloseNotify(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		if strings.Contains(h.name, "unix-unix") || strings.HasPrefix(h.name, "ktls") {
			return // nothing is acknowledged; what the kernel writes is not read so here
		}
		for name, c := range map[string]struct {
			n  int
			ok bool
		}{"delivered": {1000, true}, "on the way": {200_000, false}} {
			a, b := h.link(t)
			raw := carrier(a).(*net.TCPConn)
			raw.SetReadBuffer(1)
			app, local := h.local(t)
			done := make(chan Result, 1)
			var counters Counters
			go func() { done <- Run(t.Context(), local, b, Options{Counters: &counters, IgnoreUnexpectedEOF: true}) }()
			writeAll(t, app, noise(c.n))
			closeWriteOf(t, app)
			if c.ok {
				io.ReadFull(raw, make([]byte, c.n))
				waitEnding(t, raw)
			} else {
				waitFull(t, &counters)
			}
			Reset(a)
			r := <-done
			if c.ok && r.Err != nil {
				t.Errorf("%s: %v, want an orderly end", name, r.Err)
			}
			if !c.ok {
				wantError(t, name, r, Remote)
			}
			app.Close()
		}
	})
}

// waitEnding waits until c has got a FIN.
func waitEnding(t testing.TB, c net.Conn) {
	t.Helper()
	const closeWait = 8 // include/net/tcp_states.h
	end := time.Now().Add(patienceOfTests)
	for state := uint8(0); state != closeWait; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no FIN: TCP's state is %d", state)
		}
		rawConn(c).Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO); err == nil {
				state = info.State
			}
		})
	}
}

// delivered waits until the local socket has taken n bytes.
func delivered(t testing.TB, c *Counters, n int64) {
	t.Helper()
	end := time.After(10 * time.Second)
	for tick := time.Tick(time.Millisecond); c.Received.Load() < n; {
		select {
		case <-tick:
		case <-end:
			t.Fatalf("%d of %d bytes were delivered", c.Received.Load(), n)
		}
	}
}
