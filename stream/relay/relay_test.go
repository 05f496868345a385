package relay

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
	"github.com/virt-sluice/sluice/stream/record"
)

func TestBothDirections(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		there, back := noise(3<<20+17), noise(1<<20+1)
		c := h.start(t)
		var wg sync.WaitGroup
		wg.Go(func() { writeAll(t, c.app[0], there); closeWriteOf(t, c.app[0]) })
		wg.Go(func() { writeAll(t, c.app[1], back); closeWriteOf(t, c.app[1]) })
		wg.Go(func() { expectEnd(t, c.app[0], back) })
		expectEnd(t, c.app[1], there)
		wg.Wait()
		c.orderly(t, int64(len(there)), int64(len(back)))
	})
}

// One direction ends; the other must go on for as long as it likes.
func TestHalfClose(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		for first := range 2 {
			c := h.start(t)
			last := 1 - first
			writeAll(t, c.app[first], []byte("request"))
			closeWriteOf(t, c.app[first])
			expectEnd(t, c.app[last], []byte("request"))
			for range 3 {
				writeAll(t, c.app[last], []byte("answer"))
				expect(t, c.app[first], []byte("answer"))
			}
			closeWriteOf(t, c.app[last])
			expectEnd(t, c.app[first], nil)
			if first == 0 {
				c.orderly(t, 7, 18)
			} else {
				c.orderly(t, 18, 7)
			}
		}
	})
}

func TestEmptyStream(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		c := h.start(t)
		closeWriteOf(t, c.app[0])
		expectEnd(t, c.app[1], nil)
		closeWriteOf(t, c.app[1])
		expectEnd(t, c.app[0], nil)
		c.orderly(t, 0, 0)
	})
}

// Every size goes through by itself and must be out before the next comes.
func TestSizes(t *testing.T) {
	sizes := []int{1, 2, 4095, 16383, 16384, 16385, 2*16384 - 1, buffer.Small - 1, buffer.Small, buffer.Small + 1,
		pumped.Size - 1, pumped.Size, pumped.Size + 1,
		record.BatchBytes - 1, record.BatchBytes, record.BatchBytes + 1, pipeSize - 1, pipeSize, pipeSize + 1}
	for range 8 {
		sizes = append(sizes, 1+rand.IntN(200_000))
	}
	eachHop(t, func(t *testing.T, h hop) {
		c := h.start(t)
		total := int64(0)
		for _, n := range sizes {
			b := noise(n)
			var wg sync.WaitGroup
			wg.Go(func() { writeAll(t, c.app[0], b) })
			expect(t, c.app[1], b)
			wg.Wait()
			total += int64(n)
			if t.Failed() {
				t.Fatalf("at size %d", n)
			}
		}
		closeWriteOf(t, c.app[0])
		closeWriteOf(t, c.app[1])
		c.orderly(t, total, 0)
	})
}

// The frames before the stream share the connection with it: no byte may be
// lost or doubled where they meet, however they were cut into packets.
func TestFramesBeforeTheStream(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		a, b := h.link(t)
		stream := noise(100_000)
		app, local := h.local(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			writeAll(t, a, append([]byte("open"), stream[:50_000]...))
			writeAll(t, a, stream[50_000:])
			if err := a.CloseWrite(); err != nil {
				t.Error(err)
			}
			expectEnd(t, a, []byte("accept"))
			a.Close()
		})
		expect(t, b, []byte("open"))
		writeAll(t, b, []byte("accept"))
		done := make(chan Result)
		go func() { done <- Run(context.Background(), local, b, Options{}) }()
		expectEnd(t, app, stream)
		app.Close()
		wg.Wait()
		want := Result{Received: int64(len(stream)), Path: h.at(1)}
		if got := <-done; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestConnectionState(t *testing.T) {
	a, b := tlsLink(tls.VersionTLS13, Auto)(t)
	for _, c := range []Conn{a, b} {
		s, ok := c.ConnectionState()
		if !ok || s.Version != tls.VersionTLS13 || len(s.PeerCertificates) != 1 {
			t.Errorf("%v, version %x, %d certificates", ok, s.Version, len(s.PeerCertificates))
		}
		c.Close()
	}
	p, q := plainLink(tcpPair)(t)
	defer q.Close()
	if _, ok := p.ConnectionState(); ok {
		t.Error("a plain connection claims a TLS state")
	}
	p.Close()
}

// A handshake that the other end never answers ends with its context, and the socket with it.
func TestHandshakeEndsWithContext(t *testing.T) {
	a, b := tcpPair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := io.ErrClosedPipe // any error of ours
	errs := make(chan error)
	go func() { _, err := Client(ctx, a, mutualTLS(tls.VersionTLS13)); errs <- err }()
	if _, err := b.Read(make([]byte, 1)); err != nil {
		t.Fatal(err) // the ClientHello has begun
	}
	cancel(stopped)
	if err := <-errs; !isErr(err, stopped) {
		t.Errorf("handshake ended with %v, want the context's cause", err)
	}
	if _, err := a.Write([]byte("x")); !isErr(err, net.ErrClosed) {
		t.Errorf("writing to the socket afterwards: %v, want it closed", err)
	}
}

// A local socket without half-close can't carry a stream's end.
func TestLocalWithoutHalfClose(t *testing.T) {
	p, q := net.Pipe()
	defer p.Close()
	a, b := tcpPair(t)
	defer b.Close()
	res := Run(t.Context(), q, Plain(a), Options{})
	var e *Error
	if !asErr(res.Err, &e) || e.Side != Local {
		t.Errorf("result %+v, want a local error", res)
	}
}
