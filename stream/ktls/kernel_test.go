//go:build kerneltls

// These tests want a kernel with TLS: test/guests boots some and runs them there.

package ktls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/record"
)

const (
	typeAlert     = 21
	typeHandshake = 22
)

// rekeys says whether this kernel is one that can change keys.
func rekeys(t *testing.T) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	v := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	return v[0] > "6" || len(v[1]) == 2 && v[1] >= "14"
}

func TestSelfTest(t *testing.T) {
	for _, suite := range Suites {
		s := Test(suite)
		if s.Send != nil || s.Receive != nil {
			t.Errorf("%s: send: %v; receive: %v", tls.CipherSuiteName(suite), s.Send, s.Receive)
		}
		if (s.Rekey == nil) != rekeys(t) {
			t.Errorf("%s: change of the key: %v", tls.CipherSuiteName(suite), s.Rekey)
		}
	}
	if err := Available(); err != nil {
		t.Error(err)
	}
}

func TestSpliceSizes(t *testing.T) {
	each(t, func(t *testing.T, p *kernelEnd) {
		for _, n := range []int{1, 2, 16383, 16384, 16385, 32768, 65536} {
			b := noise(n)
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := p.splices(b); err != nil {
					t.Error(err)
				}
			})
			expect(t, p.engine, b)
			wg.Wait()
			wg.Go(func() { p.engine.Write(b) })
			expect(t, p.kernel, b)
			wg.Wait()
		}
	})
}

// An end of one direction, and the other goes on.
func TestHalfClose(t *testing.T) {
	each(t, func(t *testing.T, p *kernelEnd) {
		if err := p.kernel.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.engine.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the other end reads %v, want the stream's end", err)
		}
		p.engine.Write([]byte("after"))
		expect(t, p.kernel, []byte("after"))
		p.engine.CloseWrite()
		if _, err := p.kernel.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v, want the stream's end", err)
		}
		if err := p.splices([]byte("x")); err == nil {
			t.Error("sent after close_notify")
		}
	})
}

// sips reads little at a time.
type sips struct{ *net.TCPConn }

func (s sips) Read(p []byte) (int, error) { return s.TCPConn.Read(p[:min(len(p), 100)]) }

// All that was sent before close_notify comes before the FIN, however full TCP's
// buffer is and however late the reader.
func TestEndOfFullBuffer(t *testing.T) {
	each(t, func(t *testing.T, p *kernelEnd) {
		p.socket.conn.SetWriteBuffer(1)
		tcp(p.engine).SetReadBuffer(1)
		p.engine.Over(sips{tcp(p.engine)})
		b := noise(60_000)
		var wg sync.WaitGroup
		wg.Go(func() {
			err := p.splices(b)
			if err == nil {
				err = p.kernel.CloseWrite()
			}
			if err != nil {
				t.Error(err)
			}
		})
		got, err := io.ReadAll(p.engine)
		wg.Wait()
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d of %d bytes came, and %v", len(got), len(b), err)
		}
	})
}

// A reset ends a call that waits for room in the kernel, and is what the other end
// sees: nothing that could be taken for the stream's end.
func TestResetOfFullBuffer(t *testing.T) {
	each(t, func(t *testing.T, p *kernelEnd) {
		p.socket.conn.SetWriteBuffer(1)
		tcp(p.engine).SetReadBuffer(1)
		said := make(chan error, 1)
		var sent atomic.Int64
		go func() { // until there is no room
			for {
				if err := p.socket.Sender().Control(typeAlert, []byte{1, 90}); err != nil {
					said <- err
					return
				}
				sent.Add(1)
			}
		}()
		waits := func() bool {
			p.socket.mu.Lock()
			defer p.socket.mu.Unlock()
			return p.socket.thread != 0
		}
		// It waits, once it has been in the same call for a while.
		for before := int64(-1); sent.Load() != before || !waits(); time.Sleep(time.Second) {
			before = sent.Load()
		}
		p.socket.Reset()
		if err := <-said; err == nil {
			t.Error("the call has not failed")
		}
		if _, err := io.Copy(io.Discard, tcp(p.engine)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the other end reads %v, want a reset", err)
		}
	})
}

func TestAlertIsNamed(t *testing.T) {
	for _, alert := range []struct {
		number byte
		name   string
	}{{42, "bad certificate"}, {20, "bad record MAC"}, {80, "internal error"}} {
		each(t, func(t *testing.T, p *kernelEnd) {
			p.says(t, typeAlert, 2, alert.number)
			_, err := p.engine.Read(make([]byte, 1))
			if err == nil || !strings.Contains(err.Error(), alert.name) {
				t.Errorf("the engine says %v, want %s", err, alert.name)
			}
		})
		both(t, func(t *testing.T, a, b *kernelEnd) {
			a.says(t, typeAlert, 2, alert.number)
			_, err := b.kernel.Read(make([]byte, 1))
			if err == nil || !strings.Contains(err.Error(), alert.name) {
				t.Errorf("the kernel's end says %v, want %s", err, alert.name)
			}
		})
	}
}

// both runs f with a connection whose ends the kernel does both.
func both(t *testing.T, f func(t *testing.T, a, b *kernelEnd)) {
	each(t, func(t *testing.T, p *kernelEnd) {
		made := *p.proof
		q := &kernelEnd{proof: &made}
		var err error
		if q.socket, err = Attach(tcp(p.engine), p.socket.rekeys); err != nil {
			t.Fatal(err)
		}
		q.kernel = p.engine
		for _, err := range []error{q.kernel.HandOverSending(q.socket.Sender()), q.kernel.HandOverReceiving(q.socket.Receiver())} {
			if err != nil {
				t.Fatal(err)
			}
		}
		f(t, q, p) // p is the client, to whom tickets may be sent
	})
}

func TestTicketsAreSkipped(t *testing.T) {
	both(t, func(t *testing.T, a, b *kernelEnd) {
		a.says(t, typeHandshake, append([]byte{4, 0, 0, 20}, make([]byte, 20)...)...)
		if err := a.splices([]byte("after")); err != nil {
			t.Fatal(err)
		}
		expect(t, b.kernel, []byte("after"))
		if n := b.kernel.TicketsSkipped.Load(); n != 1 {
			t.Errorf("%d tickets were skipped", n)
		}
	})
}

// What may not come after a handshake ends the connection, and the other end is told why.
func TestUnexpected(t *testing.T) {
	both(t, func(t *testing.T, a, b *kernelEnd) {
		a.says(t, typeHandshake, 1, 0, 0, 1, 0)
		_, err := b.kernel.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "unexpected message") {
			t.Errorf("%v, want an unexpected message", err)
		}
		_, err = a.kernel.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "remote error: tls: unexpected message") {
			t.Errorf("the sender is told %v", err)
		}
	})
}

// The peer asks for a change of our key, or its own, or the limit does.
func TestKeyUpdate(t *testing.T) {
	able := rekeys(t)
	fixed := func(t *testing.T, what string, err error) {
		t.Helper()
		if able != (err == nil) || err != nil && !errors.Is(err, record.ErrFixedKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
	t.Run("asked", func(t *testing.T) {
		each(t, func(t *testing.T, p *kernelEnd) {
			p.engine.SetKeyRecords(1) // it asks for one when it has received some
			if err := p.splices(noise(40_000)); err != nil {
				t.Fatal(err)
			}
			expect(t, p.engine, noise(40_000))
			p.engine.Write([]byte("asks"))
			p.kernel.Receive()
			if !able { // receiving can't follow either, which was told
				return
			}
			if err := p.splices(noise(40_000)); err != nil {
				t.Fatal(err)
			}
			expect(t, p.engine, noise(40_000))
			if n := p.kernel.KeyUpdatesSent.Load(); n == 0 {
				t.Error("no KeyUpdate was sent")
			}
		})
	})
	t.Run("received", func(t *testing.T) {
		each(t, func(t *testing.T, p *kernelEnd) {
			if err := p.engine.UpdateKey(); err != nil {
				t.Fatal(err)
			}
			p.engine.Write([]byte("after"))
			got, err := p.kernel.Receive()
			fixed(t, "received", err)
			if err == nil && string(got[0]) != "after" {
				t.Errorf("%q", got)
			}
		})
	})
	t.Run("due", func(t *testing.T) {
		each(t, func(t *testing.T, p *kernelEnd) {
			p.kernel.SetKeyRecords(MaxRecords + 4)
			var err error
			for range 20 {
				if err = p.splices(noise(20_000)); err != nil {
					break
				}
				expect(t, p.engine, noise(20_000))
			}
			fixed(t, "due", err)
			if n := p.kernel.KeyUpdatesSent.Load(); able && (n < 5 || n > 20) {
				t.Errorf("%d KeyUpdates for 40 records, 4 to a key", n)
			}
		})
	})
}

func tcp(c *record.Conn) *net.TCPConn { return c.NetConn().(*net.TCPConn) }

// A FIN without close_notify, between records and within one.
func TestTruncation(t *testing.T) {
	for _, partial := range []string{"", "\x17\x03", "\x17\x03\x03\x00\x40", "\x17\x03\x03\x00\x40half"} {
		each(t, func(t *testing.T, p *kernelEnd) {
			p.engine.Write([]byte("data"))
			tcp(p.engine).Write([]byte(partial))
			tcp(p.engine).CloseWrite()
			expect(t, p.kernel, []byte("data"))
			if _, err := p.kernel.Read(make([]byte, 1)); !errors.Is(err, record.ErrTruncated) {
				t.Errorf("%q: %v, want it cut off", partial, err)
			}
		})
	}
}
