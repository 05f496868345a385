package tunnel

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/tlsconf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is longer than anything here takes on a busy machine.
const patience = 20 * time.Second

// site is an authority, and a folder short enough for sockets.
type site struct {
	t         *testing.T
	ca        *pki.CA
	dir       string
	algorithm pki.Algorithm // of hosts' keys
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "tunnel")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &site{t: t, ca: newCA(t), dir: dir}
}

func newCA(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// host is a host's credentials: issued by one authority, trusting the site's.
func (s *site) host(by *pki.CA, name string) *tlsconf.Store {
	s.t.Helper()
	pair, err := by.Issue(pki.Host{Names: []string{name}, Algorithm: s.algorithm})
	if err != nil {
		s.t.Fatal(err)
	}
	dir, err := os.MkdirTemp(s.dir, "pki")
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := pki.WriteLayout(dir, pki.LayoutQEMU, pki.Set{CA: by, Server: pair, Client: pair}); err != nil {
		s.t.Fatal(err)
	}
	store, err := tlsconf.NewStore(tlsconf.StoreConfig{Search: tlsconf.Search{Dir: dir, Layout: pki.LayoutQEMU}})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

func (s *site) path(name string) spec.Address {
	return spec.Address{Kind: spec.Unix, At: filepath.Join(s.dir, name)}
}

func names(t *testing.T, list ...string) tlsconf.Rules {
	t.Helper()
	r, err := tlsconf.ParseRules(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// running is a tunnel that serves.
type running struct {
	*Tunnel
	t     *testing.T
	drain chan struct{}
	cut   context.CancelFunc
	over  chan error
	ended chan Report
}

// serve is serveAs for tests that mean clear by tcp:.
func serve(t *testing.T, opts Options) *running {
	t.Helper()
	opts.Host.TLS = spec.No
	return serveAs(t, opts)
}

func serveAs(t *testing.T, opts Options) *running {
	t.Helper()
	r := &running{t: t, drain: make(chan struct{}), over: make(chan error, 1), ended: make(chan Report, 1000)}
	opts.Ended = func(rep Report) { r.ended <- rep }
	var err error
	if r.Tunnel, err = Listen(opts); err != nil {
		t.Fatal(err)
	}
	ctx, cut := context.WithCancel(context.Background())
	r.cut = cut
	done := make(chan struct{})
	go func() {
		r.over <- r.Serve(ctx, r.drain)
		close(done)
	}()
	t.Cleanup(func() {
		cut()
		<-done
	})
	return r
}

// end is the next connection's.
func (r *running) end() Report {
	r.t.Helper()
	select {
	case rep := <-r.ended:
		return rep
	case <-time.After(patience):
		r.t.Fatal("no connection has ended")
		return Report{}
	}
}

// target accepts connections.
func target(t *testing.T, a spec.Address) (net.Listener, spec.Address) {
	t.Helper()
	l, err := net.Listen(a.Network(), a.At)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, spec.Address{Kind: a.Kind, At: l.Addr().String()}
}

// dial connects as an application would.
func dial(t *testing.T, a spec.Address) socket {
	t.Helper()
	c, err := net.DialTimeout(a.Network(), a.At, patience)
	if err != nil {
		t.Fatal(err)
	}
	return own(t, c)
}

func accept(t *testing.T, l net.Listener) socket {
	t.Helper()
	l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return own(t, c)
}

// socket is an application's end.
type socket interface {
	net.Conn
	CloseWrite() error
}

func own(t *testing.T, c net.Conn) socket {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(socket)
}

func wantRead(t *testing.T, c io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func loopback(k spec.Kind) spec.Address { return spec.Address{Kind: k, At: "127.0.0.1:0"} }

func always(p *tlsconf.Policy) func() *tlsconf.Policy {
	return func() *tlsconf.Policy { return p }
}
