package spiffe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/workloadapi"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

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

// end is one end of a handshake.
type end func(ctx context.Context, raw net.Conn) (net.Conn, error)

func connect(c *tlsconf.Credentials, expect tlsconf.Rules) end {
	return func(ctx context.Context, raw net.Conn) (net.Conn, error) {
		conn, _, err := tlsconf.Connect(ctx, relay.TLS{}, raw, tlsconf.Client{Credentials: c, Expect: expect})
		return conn, err
	}
}

func accept(c *tlsconf.Credentials) end {
	return func(ctx context.Context, raw net.Conn) (net.Conn, error) {
		conn, _, err := tlsconf.Accept(ctx, relay.TLS{}, raw, tlsconf.Server{Credentials: c, Authorize: func(*tlsconf.Peer) error { return nil }})
		return conn, err
	}
}

// anyClient and anyServer check nothing, so that it is the other end that refuses.
func anyClient(p *pki.Pair) end {
	return func(ctx context.Context, raw net.Conn) (net.Conn, error) {
		return relay.Client(ctx, raw, &tls.Config{Certificates: []tls.Certificate{p.TLS()}, InsecureSkipVerify: true})
	}
}

func anyServer(p *pki.Pair) end {
	return func(ctx context.Context, raw net.Conn) (net.Conn, error) {
		return relay.Server(ctx, raw, &tls.Config{Certificates: []tls.Certificate{p.TLS()}, ClientAuth: tls.RequireAnyClientCert})
	}
}

// shake runs a handshake and a byte each way.
func shake(t *testing.T, client, server end) (clientErr, serverErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	talk := func(as end, raw net.Conn) error {
		conn, err := as(ctx, raw)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		conn.Write([]byte{1})
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	done := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		done <- talk(server, raw)
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	clientErr = talk(client, raw)
	return clientErr, <-done
}

func TestPeersAreKnownByTheirSPIFFEIDs(t *testing.T) {
	site := newCA(t, "site CA")
	a, b := workloadapi.Start(t, filepath.Join(t.TempDir(), "a")), workloadapi.Start(t, filepath.Join(t.TempDir(), "b"))
	a.Serve(t, issue(t, site, "spiffe://site/kvm/a"), site, nil)
	b.Serve(t, issue(t, site, "spiffe://site/kvm/b"), site, nil)
	ca, cb := source(t, Config{Addr: a.Addr}).Current(), source(t, Config{Addr: b.Addr}).Current()
	if ca.Found.Layout != "spiffe" || !strings.Contains(ca.Found.Why, "spiffe://site/kvm/a") {
		t.Errorf("found %+v", ca.Found)
	}
	if cerr, serr := shake(t, connect(ca, rules(t, "spiffe://site/kvm/b")), accept(cb)); cerr != nil || serr != nil {
		t.Error(cerr, serr)
	}
	cerr, _ := shake(t, connect(ca, rules(t, "spiffe://site/kvm/c")), accept(cb))
	var name *tlsconf.NameError
	if !errors.As(cerr, &name) {
		t.Errorf("the wrong peer: %v", cerr)
	}
}

// TestTrustDomainsVouchForThemselves federates two domains: each CA's IDs in its own domain are
// good, and an ID of the other's domain is not, in either role.
func TestTrustDomainsVouchForThemselves(t *testing.T) {
	site, other := newCA(t, "site CA"), newCA(t, "other CA")
	both := map[string]*pki.CA{"other": other}
	a := workloadapi.Start(t, filepath.Join(t.TempDir(), "a"))
	a.Serve(t, issue(t, site, "spiffe://site/a"), site, both)
	here := source(t, Config{Addr: a.Addr}).Current()
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
		cerr, _ := shake(t, connect(here, rules(t, "*://*")), anyServer(tt.peer))
		_, serr := shake(t, anyClient(tt.peer), accept(here))
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
	a := workloadapi.Start(t, path)
	first := issue(t, site, "spiffe://site/a")
	a.Serve(t, first, site, nil)
	changed, failed, mended := make(chan *tlsconf.Credentials, 10), make(chan error, 100), make(chan bool, 10)
	s := source(t, Config{Addr: a.Addr, Changed: func(c *tlsconf.Credentials) { changed <- c }, Failed: func(err error) {
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
	a.Serve(t, renewed, site, nil)
	becomes(renewed)

	// One that does not come from its own domain's CA keeps the one before, and is told.
	a.Serve(t, issue(t, newCA(t, "impostor"), "spiffe://site/a"), site, nil)
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
	a.Serve(t, renewed, site, nil)
	recovers()

	// An agent that restarts is found again, with what there was and with something new.
	a.Stop()
	b := workloadapi.Start(t, path)
	b.Serve(t, renewed, site, nil)
	recovers()
	if err := <-failed; !strings.Contains(err.Error(), "stay in use") {
		t.Errorf("told %v", err)
	}
	again := issue(t, site, "spiffe://site/a")
	b.Serve(t, again, site, nil)
	becomes(again)

	// A CA that was another domain's as well, and is not any more.
	b.Serve(t, again, site, map[string]*pki.CA{"other": site})
	becomes(again)
	b.Serve(t, again, site, nil)
	becomes(again)
}

func TestNewSaysWhatItWaitedFor(t *testing.T) {
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", "")
	if _, err := New(context.Background(), Config{}); err == nil || !strings.Contains(err.Error(), "SPIFFE_ENDPOINT_SOCKET") {
		t.Errorf("no address: %v", err)
	}
	a := workloadapi.Start(t, filepath.Join(t.TempDir(), "agent"))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := New(ctx, Config{Addr: a.Addr}); err == nil || !strings.Contains(err.Error(), "no identity issued") {
		t.Errorf("no identity: %v", err)
	}
	// With the address from the environment, and an identity that comes late.
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", a.Addr)
	site := newCA(t, "site CA")
	got := make(chan error, 1)
	ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	go func() {
		_, err := New(ctx, Config{})
		got <- err
	}()
	a.Serve(t, issue(t, site, "spiffe://site/a"), site, nil)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
