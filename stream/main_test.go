package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/stream/relay"
	"go.uber.org/goleak"
)

// patience bounds whatever must not hang.
const patience = 20 * time.Second

// TestMain checks that all tests together leave no goroutine and no socket.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(m.Run())
	}
	flag.Set("test.parallel", "8") // they wait more than they work
	before := sockets()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if after := sockets(); after != before {
			fmt.Fprintf(os.Stderr, "%d sockets before the tests, %d after\n", before, after)
			code = 1
		}
	}
	os.Exit(code)
}

// sockets is how many this process has. Pipes don't count: package relay keeps
// some for later.
func sockets() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// credentials are a CA's, for each host one pair.
var credentials = sync.OnceValue(func() map[string]*tls.Config {
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	configs := make(map[string]*tls.Config)
	for _, host := range []string{"host-a", "host-b", "host-c"} {
		pair, err := ca.Issue(pki.Host{Names: []string{host}})
		if err != nil {
			panic(err)
		}
		configs[host] = &tls.Config{
			MinVersion:   tls.VersionTLS13,
			NextProtos:   []string{"sluice/1"},
			Certificates: []tls.Certificate{pair.TLS()},
			RootCAs:      pool,
			ClientCAs:    pool,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ServerName:   "host-b",
		}
	}
	return configs
})

// hosts are host-a with an Opener and host-b with an Acceptor, and a gate on
// the link between them.
//
//	Opener == gate == Acceptor -- handler -- its sockets
type hosts struct {
	t        testing.TB
	opener   *Opener
	acceptor *Acceptor
	handler  *handler // of every session
	gate     *gate    // TLS
	clear    *gate    // without
	accepted chan *Session
	served   chan error // what Serve returned
	stop     context.CancelFunc
}

// newHosts starts both. Whoever changes fields of opener, acceptor or handler
// does so in with.
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
	h.acceptor = &Acceptor{Host: "host-b", Accept: func(context.Context, Info) (Handler, func(*Session), error) {
		return h.handler, func(s *Session) { h.accepted <- s }, nil
	}}
	h.opener = &Opener{Host: "host-a", Peer: "host-b"}
	h.opener.Dial = func(ctx context.Context, clear bool) (relay.Conn, error) { return h.dial(ctx, "host-a", clear) }
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
		h.served <- h.acceptor.Serve(ctx, conn, state.PeerCertificates[0].DNSNames[0])
	})
	h.clear = listen(func(raw net.Conn) { h.served <- h.acceptor.Serve(ctx, relay.Plain(raw), "") })
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

// channel opens a channel and returns what is at its ends: the sockets that a
// QEMU would have.
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
	return &Opener{Host: "host-a", Peer: "host-b", Address: l.Addr().String(), Dial: func(ctx context.Context, _ bool) (relay.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return relay.Client(ctx, raw, credentials()["host-a"])
	}}
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came within %v", patience)
	}
	panic("unreachable")
}

func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("%s still runs after %v", what, patience)
	}
}

func wait(t testing.TB, s *Session) *Cause {
	t.Helper()
	var c *Cause
	within(t, "Session.Wait", func() { c = s.Wait() })
	if c == nil {
		t.FailNow()
	}
	return c
}

// expect checks a cause's code, and that its words contain all of words.
func expect(t testing.TB, err error, code string, words ...string) {
	t.Helper()
	var c *Cause
	if !errors.As(err, &c) {
		t.Errorf("%v is no Cause", err)
		return
	}
	if c.Code != code {
		t.Errorf("%v: code %s, want %s", c, c.Code, code)
	}
	for _, w := range words {
		if !strings.Contains(c.Error(), w) {
			t.Errorf("%q lacks %q", c.Error(), w)
		}
	}
}

// until polls for what nobody reports.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	often := time.NewTicker(time.Millisecond)
	defer often.Stop()
	for end := time.Now().Add(patience); !f(); <-often.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
