package stream

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// gate passes connections on to an address and can misuse them.
type gate struct {
	listener net.Listener
	mu       sync.Mutex
	pairs    [][2]*net.TCPConn // near, far
	closing  sync.Once
	closed   chan struct{}
	stalled  [2]chan struct{} // by direction, there and back; closed: nothing passes
	once     [2]sync.Once
}

func newGate(t testing.TB, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, closed: make(chan struct{})}
	g.stalled = [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			n, f := near.(*net.TCPConn), far.(*net.TCPConn)
			g.mu.Lock()
			g.pairs = append(g.pairs, [2]*net.TCPConn{n, f})
			g.mu.Unlock()
			all.Go(func() {
				var both sync.WaitGroup
				both.Go(func() { g.pass(0, f, n) })
				both.Go(func() { g.pass(1, n, f) })
				both.Wait()
				n.Close()
				f.Close()
			})
		}
	})
	t.Cleanup(func() {
		g.close()
		within(t, "the gate", all.Wait)
	})
	return g
}

func (g *gate) close() {
	g.closing.Do(func() {
		g.listener.Close()
		close(g.closed)
		g.cut(0, false)
	})
}

func (g *gate) pass(direction int, to, from *net.TCPConn) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		select {
		case <-g.stalled[direction]:
			<-g.closed
			return
		default:
		}
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				err = werr
			}
		}
		switch {
		case err == io.EOF:
			to.CloseWrite()
			return
		case err != nil: // a reset goes through as a reset
			to.SetLinger(0)
			from.SetLinger(0)
			to.Close()
			from.Close()
			return
		}
	}
}

func (g *gate) addr() string { return g.listener.Addr().String() }

// stall lets nothing pass in a direction from now on, 0 there and 1 back.
func (g *gate) stall(direction int) {
	g.once[direction].Do(func() { close(g.stalled[direction]) })
}

// cut ends all connections from the given one on, both ways, without a word of
// TLS's; by a reset where wanted.
func (g *gate) cut(from int, reset bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.pairs[from:] {
		for _, c := range p {
			if reset {
				c.SetLinger(0)
			}
			c.Close()
		}
	}
}

// fakePeer is a listener whose connections speak serves, after a handshake. It
// is a host-b that does what it likes.
func fakePeer(t testing.TB, serve func(relay.Conn)) *Opener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	serving.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				conn, err := relay.Server(ctx, raw, credentials()["host-b"])
				if err != nil {
					return
				}
				conn.SetDeadline(time.Now().Add(patience))
				serve(conn)
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		within(t, "the fake peer", serving.Wait)
		cancel()
	})
	return &Opener{Host: "host-a", Peer: "host-b", Address: l.Addr().String(), Dial: func(ctx context.Context, _ string, _ bool) (relay.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return relay.Client(ctx, raw, credentials()["host-a"])
	}}
}
