package spiffe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/tlsconf"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// agent is a Workload API server: what it serves now, and to whom it sends the next.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer

	addr   string
	server *grpc.Server

	mu      sync.Mutex
	now     *workload.X509SVIDResponse // nil: no identity for the caller
	changed chan struct{}
}

func (a *agent) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	// A server must refuse calls without this header: Workload API, section 6.
	if md, _ := metadata.FromIncomingContext(stream.Context()); !slices.Equal(md.Get("workload.spiffe.io"), []string{"true"}) {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	for {
		a.mu.Lock()
		now, changed := a.now, a.changed
		a.mu.Unlock()
		if now == nil {
			return status.Error(codes.PermissionDenied, "no identity issued")
		}
		if err := stream.Send(now); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (a *agent) serve(r *workload.X509SVIDResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = r
	close(a.changed)
	a.changed = make(chan struct{})
}

// start serves on a unix socket.
func start(t *testing.T, path string) *agent {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{addr: "unix://" + path, server: grpc.NewServer(), changed: make(chan struct{})}
	workload.RegisterSpiffeWorkloadAPIServer(a.server, a)
	done := make(chan error, 1)
	go func() { done <- a.server.Serve(ln) }()
	t.Cleanup(func() {
		a.server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a
}

func newCA(t *testing.T, name string) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(pki.Authority{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *pki.CA, id string) *pki.Pair {
	t.Helper()
	p, err := ca.Issue(pki.Host{URIs: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// response is one identity of the trust domain "site", whose CA is ca, with further domains beside it.
func response(t *testing.T, p *pki.Pair, ca *pki.CA, others map[string]*pki.CA) *workload.X509SVIDResponse {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	r := &workload.X509SVIDResponse{
		Svids:            []*workload.X509SVID{{SpiffeId: p.Cert.URIs[0].String(), X509Svid: p.Cert.Raw, X509SvidKey: key, Bundle: ca.Cert.Raw}},
		FederatedBundles: make(map[string][]byte),
	}
	for name, other := range others {
		r.FederatedBundles["spiffe://"+name] = other.Cert.Raw
	}
	return r
}

func source(t *testing.T, conf Config) *Source {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := New(ctx, conf)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rules(t *testing.T, list ...string) tlsconf.Rules {
	t.Helper()
	rs, err := tlsconf.ParseRules(list)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// shake runs a handshake and a byte each way.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	talk := func(conn *tls.Conn) error {
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		if err := conn.Handshake(); err != nil {
			return err
		}
		conn.Write([]byte{1})
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	done := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		done <- talk(tlsconf.Server(raw, server))
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	clientErr = talk(tlsconf.Client(raw, client))
	return clientErr, <-done
}

func TestPeersAreKnownByTheirSPIFFEIDs(t *testing.T) {
	site := newCA(t, "site CA")
	a, b := start(t, filepath.Join(t.TempDir(), "a")), start(t, filepath.Join(t.TempDir(), "b"))
	a.serve(response(t, issue(t, site, "spiffe://site/kvm/a"), site, nil))
	b.serve(response(t, issue(t, site, "spiffe://site/kvm/b"), site, nil))
	ca, cb := source(t, Config{Addr: a.addr}).Current(), source(t, Config{Addr: b.addr}).Current()
	if ca.Found.Layout != "spiffe" || !strings.Contains(ca.Found.Why, "spiffe://site/kvm/a") {
		t.Errorf("found %+v", ca.Found)
	}
	if cerr, serr := shake(t, ca.Client(rules(t, "spiffe://site/kvm/b"), tlsconf.Options{}), cb.Server(tlsconf.Options{})); cerr != nil || serr != nil {
		t.Error(cerr, serr)
	}
	cerr, _ := shake(t, ca.Client(rules(t, "spiffe://site/kvm/c"), tlsconf.Options{}), cb.Server(tlsconf.Options{}))
	var name *tlsconf.NameError
	if !errors.As(cerr, &name) {
		t.Errorf("the wrong peer: %v", cerr)
	}
}

// TestTrustDomainsVouchForThemselves federates two domains: each CA's IDs in its own domain are good, and
// an ID of the other's domain is not, in either role.
func TestTrustDomainsVouchForThemselves(t *testing.T) {
	site, other := newCA(t, "site CA"), newCA(t, "other CA")
	both := map[string]*pki.CA{"other": other}
	a := start(t, filepath.Join(t.TempDir(), "a"))
	a.serve(response(t, issue(t, site, "spiffe://site/a"), site, both))
	here := source(t, Config{Addr: a.addr}).Current()
	for _, tt := range []struct {
		name string
		peer *pki.Pair
		ok   bool
	}{
		{"of the other domain", issue(t, other, "spiffe://other/b"), true},
		{"of this domain, by the other's CA", issue(t, other, "spiffe://site/b"), false},
		{"of the other domain, by this one's CA", issue(t, site, "spiffe://other/b"), false},
		{"of a third domain", issue(t, other, "spiffe://third/b"), false},
		{"without a SPIFFE ID", issue(t, other, "https://other/b"), false},
	} {
		// The peer checks nothing, so that it is this host that refuses.
		cert := tt.peer.TLS()
		asServer := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}
		asClient := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}
		cerr, _ := shake(t, here.Client(rules(t, "*://*"), tlsconf.Options{}), asServer)
		_, serr := shake(t, asClient, here.Server(tlsconf.Options{}))
		for role, err := range map[string]error{"client": cerr, "server": serr} {
			if (err == nil) != tt.ok {
				t.Errorf("%s, as %s: %v", tt.name, role, err)
			}
		}
	}
}

func TestSourceFollowsTheAgent(t *testing.T) {
	site := newCA(t, "site CA")
	path := filepath.Join(t.TempDir(), "agent")
	a := start(t, path)
	first := issue(t, site, "spiffe://site/a")
	a.serve(response(t, first, site, nil))
	changed, failed, mended := make(chan *tlsconf.Credentials, 10), make(chan error, 100), make(chan bool, 10)
	s := source(t, Config{Addr: a.addr, Changed: func(c *tlsconf.Credentials) { changed <- c }, Failed: func(err error) {
		select {
		case failed <- err:
		default:
		}
	}, Mended: func() { mended <- true }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	becomes := func(p *pki.Pair) {
		t.Helper()
		select {
		case c := <-changed:
			if !c.Leaf.Equal(p.Cert) || s.Current() != c {
				t.Error("another certificate")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the new identity is not taken over")
		}
	}
	renewed := issue(t, site, "spiffe://site/a")
	a.serve(response(t, renewed, site, nil))
	becomes(renewed)

	// One that does not come from its own domain's CA keeps the one before, and is told.
	a.serve(response(t, issue(t, newCA(t, "impostor"), "spiffe://site/a"), site, nil))
	select {
	case err := <-failed:
		if !strings.Contains(err.Error(), "stay in use") || !strings.Contains(err.Error(), "does not come from a CA") {
			t.Errorf("told %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the fault is not told")
	}
	if !s.Current().Leaf.Equal(renewed.Cert) {
		t.Error("the bad one was taken over")
	}

	// The good one comes again: nothing is new, and nothing is wrong any more.
	recovers := func() {
		t.Helper()
		select {
		case <-mended:
		case <-time.After(20 * time.Second):
			t.Fatal("what was wrong is not told to be over")
		}
		if len(changed) > 0 || !s.Current().Leaf.Equal(renewed.Cert) {
			t.Error("something is new")
		}
	}
	a.serve(response(t, renewed, site, nil))
	recovers()

	// An agent that restarts is found again, with what there was and with something new.
	a.server.Stop()
	b := start(t, path)
	b.serve(response(t, renewed, site, nil))
	recovers()
	if err := <-failed; !strings.Contains(err.Error(), "stay in use") {
		t.Errorf("told %v", err)
	}
	again := issue(t, site, "spiffe://site/a")
	b.serve(response(t, again, site, nil))
	becomes(again)

	// A CA that was another domain's as well, and is not any more.
	b.serve(response(t, again, site, map[string]*pki.CA{"other": site}))
	becomes(again)
	b.serve(response(t, again, site, nil))
	becomes(again)
}

func TestNewSaysWhatItWaitedFor(t *testing.T) {
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	if _, err := New(context.Background(), Config{}); err == nil || !strings.Contains(err.Error(), "SPIFFE_ENDPOINT_SOCKET") {
		t.Errorf("no address: %v", err)
	}
	a := start(t, filepath.Join(t.TempDir(), "agent"))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := New(ctx, Config{Addr: a.addr}); err == nil || !strings.Contains(err.Error(), "no identity issued") {
		t.Errorf("no identity: %v", err)
	}
	// With the address from the environment, and an identity that comes late.
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", a.addr)
	site := newCA(t, "site CA")
	got := make(chan error, 1)
	ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	go func() {
		_, err := New(ctx, Config{})
		got <- err
	}()
	a.serve(response(t, issue(t, site, "spiffe://site/a"), site, nil))
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
