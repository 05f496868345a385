package stream

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// hosts are host-a with an Opener and host-b with an Acceptor, and a gate on the link between them.
//
//	Opener == gate == Acceptor -- handler -- its sockets
type hosts struct {
	t        testing.TB
	opener   *Opener
	acceptor *Acceptor
	terms    Terms    // of the acceptor
	handler  *handler // of every session
	gate     *gate    // TLS
	clear    *gate    // without
	accepted chan *Session
	served   chan error // what Serve returned
	stop     context.CancelFunc
}

// whose is what the acceptor asks of a connection.
func (h *hosts) whose(peer string) func() (Who, *Terms) {
	return func() (Who, *Terms) { return Who{Peer: peer}, &h.terms }
}

// newHosts starts both. Whoever changes fields of opener, terms or handler does so in with.
func newHosts(t testing.TB, with ...func(*hosts)) *hosts {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	h := &hosts{
		t:        t,
		accepted: make(chan *Session, 100),
		served:   make(chan error, 1000),
		stop:     stop,
		handler: &handler{
			connected: make(chan connected, 1000),
			ended:     make(chan *Cause, 100),
		},
	}
	h.acceptor = &Acceptor{Host: "host-b"}
	h.terms.Accept = func(context.Context, Info) (Handler, func(*Session), error) {
		return h.handler, func(s *Session) { h.accepted <- s }, nil
	}
	h.opener = &Opener{Host: "host-a", Peer: "host-b"}
	h.opener.Dial = func(ctx context.Context, session string, clear bool) (relay.Conn, error) {
		return h.dial(ctx, "host-a", clear)
	}
	for _, f := range with {
		if f != nil {
			f(h)
		}
	}
	var serving sync.WaitGroup
	var listeners []net.Listener
	listen := func(serve func(net.Conn)) *gate {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		serving.Go(func() {
			for {
				raw, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { serve(raw) })
			}
		})
		listeners = append(listeners, l)
		return newGate(t, l.Addr().String())
	}
	h.gate = listen(func(raw net.Conn) {
		conn, err := relay.Server(ctx, raw, credentials()["host-b"])
		if err != nil {
			h.served <- err
			return
		}
		state, _ := conn.ConnectionState()
		h.served <- h.acceptor.Serve(ctx, conn, h.whose(state.PeerCertificates[0].DNSNames[0]))
	})
	h.clear = listen(func(raw net.Conn) { h.served <- h.acceptor.Serve(ctx, relay.Plain(raw), h.whose("")) })
	h.opener.Address = h.gate.addr()
	t.Cleanup(func() {
		for _, l := range listeners {
			l.Close()
		}
		stop()
		h.gate.close()
		h.clear.close()
		within(t, "Acceptor.Serve", serving.Wait)
	})
	return h
}

func (h *hosts) dial(ctx context.Context, as string, clear bool) (relay.Conn, error) {
	g := h.gate
	if clear {
		g = h.clear
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", g.addr())
	if err != nil {
		return nil, err
	}
	if clear {
		return relay.Plain(raw), nil
	}
	return relay.Client(ctx, raw, credentials()[as])
}

// open opens a session and returns both ends of it.
func (h *hosts) open(info Info) (a, b *Session) {
	h.t.Helper()
	if info.ID == "" {
		info.ID = NewID()
	}
	a, err := h.opener.Open(h.t.Context(), info)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		a.Fail(&Cause{Code: CodeCancelled, Text: "the test is over"})
		wait(h.t, a)
	})
	return a, receive(h.t, h.accepted)
}

// channel opens a channel and returns what is at its ends: the sockets that a QEMU would have.
func (h *hosts) channel(s *Session, kind string) (a, b *net.UnixConn) {
	h.t.Helper()
	a, local := socketPair(h.t)
	if _, err := s.OpenChannel(h.t.Context(), kind, local); err != nil {
		h.t.Fatal(err)
	}
	b = receive(h.t, h.handler.connected).app
	h.t.Cleanup(func() { b.Close() })
	return a, b
}

// raw is a connection on which the test itself speaks as an opener.
func (h *hosts) raw(as string) relay.Conn {
	h.t.Helper()
	conn, err := h.dial(h.t.Context(), as, as == "")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// say sends f and returns the answer.
func say(t testing.TB, conn net.Conn, f *frame) *frame {
	t.Helper()
	send(t, conn, f)
	return hear(t, conn)
}

func send(t testing.TB, conn net.Conn, f *frame) {
	t.Helper()
	if err := writeFrame(conn, f, MaxControl); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, conn net.Conn) *frame {
	t.Helper()
	f, err := readFrame(conn, MaxControl)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// hearKind skips signs of life.
func hearKind(t testing.TB, conn net.Conn, kind frameKind) *frame {
	t.Helper()
	for {
		f := hear(t, conn)
		if f.Kind == kind {
			return f
		}
		if f.Kind != kindPing {
			t.Fatalf("a frame of kind %s, want %s", f.Kind, kind)
		}
	}
}

func openFrame(channel string) *frame {
	return &frame{Kind: kindOpen, Versions: versions{Version}, Host: "host-a", Channel: channel}
}

// control opens a session by hand.
func (h *hosts) control(conn net.Conn, id string) *Session {
	h.t.Helper()
	f := openFrame(channelControl)
	f.Session = id
	if a := say(h.t, conn, f); a.Kind != kindAccept {
		h.t.Fatalf("answered with %s: %v", a.Kind, a.Cause)
	}
	return receive(h.t, h.accepted)
}

// handler is host-b's. Its fields are nil or set before the first session.
type handler struct {
	connect   func(ctx context.Context, kind string, number int) (net.Conn, error)
	call      func(ctx context.Context, name string, body []byte) (any, error)
	end       func(*Cause)
	connected chan connected
	ended     chan *Cause
}

type connected struct {
	kind   string
	number int
	app    *net.UnixConn // the far end of what Connect returned
}

func (h *handler) Connect(ctx context.Context, kind string, number int) (net.Conn, error) {
	if h.connect != nil {
		return h.connect(ctx, kind, number)
	}
	return h.pair(kind, number)
}

func (h *handler) pair(kind string, number int) (net.Conn, error) {
	app, local, err := newSocketPair()
	if err == nil {
		h.connected <- connected{kind, number, app}
	}
	return local, err
}

func (h *handler) Call(ctx context.Context, name string, body []byte) (any, error) {
	if h.call == nil {
		return nil, errors.New("no calls here")
	}
	return h.call(ctx, name, body)
}

func (h *handler) End(c *Cause) {
	if h.end != nil {
		h.end(c)
	}
	h.ended <- c
	for {
		select {
		case c := <-h.connected: // nobody asked for it
			c.app.Close()
		default:
			return
		}
	}
}

func socketPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	a, b, err := newSocketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func newSocketPair() (a, b *net.UnixConn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return nil, nil, err
		}
		conns[i] = c.(*net.UnixConn)
		conns[i].SetDeadline(time.Now().Add(patience))
	}
	return conns[0], conns[1], nil
}
