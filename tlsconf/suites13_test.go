package tlsconf

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

func policy(t testing.TB, priority string) *Policy {
	t.Helper()
	p, err := ParsePriority(priority, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const only = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+"

// TestSuites13 proves that the restriction of TLS 1.3 suites works, for each set of them, on either
// side, against a peer of crypto/tls, which on its own would choose AES-128-GCM.
func TestSuites13(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	free := settings{MinVersion: tls.VersionTLS13}
	for _, tt := range []struct {
		ciphers string
		want    uint16
	}{
		{"AES-128-GCM", tls.TLS_AES_128_GCM_SHA256},
		{"AES-256-GCM", tls.TLS_AES_256_GCM_SHA384},
		{"CHACHA20-POLY1305", tls.TLS_CHACHA20_POLY1305_SHA256},
		{"AES-256-GCM:+CHACHA20-POLY1305", tls.TLS_AES_256_GCM_SHA384},
		{"AES-128-GCM:+CHACHA20-POLY1305", tls.TLS_AES_128_GCM_SHA256},
	} {
		narrow := settings{Policy: policy(t, only+tt.ciphers)}
		// Only a group for which the client has sent no share, so that the server asks it to try
		// again.
		retry := settings{Policy: policy(t, only+tt.ciphers+":-GROUP-ALL:+GROUP-SECP521R1")}
		for _, c := range []struct {
			name           string
			client, server settings
		}{
			{"client", narrow, free}, {"server", free, narrow}, {"both", narrow, narrow},
			{"server, second hello", free, retry},
		} {
			t.Run(tt.ciphers+", "+c.name, func(t *testing.T) {
				state, cerr, serr := shake(t, a.clientConfig(rules(t, "b"), c.client), b.serverConfig(c.server))
				if cerr != nil || serr != nil {
					t.Fatal(cerr, serr)
				}
				if state.CipherSuite != tt.want {
					t.Errorf("%s was chosen", tls.CipherSuiteName(state.CipherSuite))
				}
			})
		}
	}
	if !slices.Equal(defaultCipherSuitesTLS13, preset[0]) || !slices.Equal(defaultCipherSuitesTLS13NoAES, preset[1]) {
		t.Errorf("crypto/tls was left with %x and %x", defaultCipherSuitesTLS13, defaultCipherSuitesTLS13NoAES)
	}
}

// TestSuites13Unlike runs handshakes with unlike policies at once: each must come to its own suite.
func TestSuites13Unlike(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	opts := []settings{
		{MinVersion: tls.VersionTLS13},
		{Policy: policy(t, only+"AES-128-GCM")},
		{Policy: policy(t, only+"AES-256-GCM")},
		{Policy: policy(t, only+"CHACHA20-POLY1305")},
	}
	want := []uint16{0, tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}
	expect := rules(t, "b")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 12 {
				k, narrow := (i+j)%4, i%2 == 0
				client, server := opts[k], opts[0]
				if narrow {
					client, server = server, client
				}
				state, cerr, serr := shake(t, a.clientConfig(expect, client), b.serverConfig(server))
				if cerr != nil || serr != nil {
					t.Errorf("policy %d: %v, %v", k, cerr, serr)
				} else if want[k] != 0 && state.CipherSuite != want[k] {
					t.Errorf("policy %d: %s was chosen", k, tls.CipherSuiteName(state.CipherSuite))
				}
			}
		})
	}
	wg.Wait()
}

func TestSuites13NeedTheGate(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	narrow := settings{Policy: policy(t, only+"AES-256-GCM")}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	if err := tls.Client(here, a.clientConfig(rules(t, "b"), narrow)).Handshake(); err == nil || !strings.Contains(err.Error(), "tlsconf.Connect") {
		t.Errorf("a client without the gate: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- tls.Server(there, b.serverConfig(narrow)).Handshake() }()
	clientOver(here, a.clientConfig(rules(t, "b"), settings{})).Handshake()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "tlsconf.Connect") {
		t.Errorf("a server without the gate: %v", err)
	}
}

// TestSuites13Verify lets a handshake go wrong on purpose: the restriction is off, and the check
// after it has to notice.
func TestSuites13Verify(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	narrow := settings{Policy: policy(t, only+"AES-256-GCM")}
	only128 := b.serverConfig(settings{Policy: policy(t, only+"AES-128-GCM")})
	client := a.clientConfig(rules(t, "b"), narrow)
	client.Rand = nil
	_, err, _ := shake(t, client, only128)
	var pe *PolicyError
	if !errors.As(err, &pe) || !strings.Contains(err.Error(), "TLS_AES_128_GCM_SHA256") {
		t.Errorf("client: %v", err)
	}
	server := b.serverConfig(narrow)
	server.Rand = nil
	_, _, err = shake(t, a.clientConfig(rules(t, "b"), settings{Policy: policy(t, only+"AES-128-GCM")}), server)
	if !errors.As(err, &pe) {
		t.Errorf("server: %v", err)
	}
}

// TestGateIsLeftByHandshakesThatFail gives handshakes up at every stage; none may keep others out.
func TestGateIsLeftByHandshakesThatFail(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	expect := rules(t, "b")
	narrow := settings{Policy: policy(t, only+"AES-256-GCM:-GROUP-ALL:+GROUP-SECP521R1")}
	// A client that sends its hello, is asked for another, and says no more.
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- serverOver(there, b.serverConfig(narrow)).HandshakeContext(ctx) }()
	silent := &silentAfter{Conn: here, writes: 1}
	go func() {
		done <- clientOver(silent, a.clientConfig(expect, settings{MinVersion: tls.VersionTLS13})).HandshakeContext(ctx)
	}()
	// One that the other end closes at once.
	gone, other := net.Pipe()
	other.Close()
	if err := clientOver(gone, a.clientConfig(expect, narrow)).Handshake(); err == nil {
		t.Error("a handshake with nobody")
	}
	// Meanwhile one with other suites goes through.
	ok := settings{Policy: policy(t, only+"CHACHA20-POLY1305")}
	if _, cerr, serr := shake(t, a.clientConfig(expect, ok), b.serverConfig(ok)); cerr != nil || serr != nil {
		t.Error(cerr, serr)
	}
	cancel()
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a handshake that was given up succeeded")
		}
	}
	suiteGate.mu.Lock()
	defer suiteGate.mu.Unlock()
	if suiteGate.inside != 0 || suiteGate.served != suiteGate.next {
		t.Errorf("%d are inside, %d wait", suiteGate.inside, suiteGate.next-suiteGate.served)
	}
}

// silentAfter takes all writes and passes on the first few.
type silentAfter struct {
	net.Conn
	writes int
}

func (c *silentAfter) Write(p []byte) (int, error) {
	if c.writes == 0 {
		return len(p), nil
	}
	c.writes--
	return c.Conn.Write(p)
}

func TestProfileAndSignaturesOfPeers(t *testing.T) {
	s := newSite(t)
	p256 := s.creds(s.host("b"))
	p384 := s.creds(s.issue(pki.Host{Names: []string{"b"}, Algorithm: pki.P384}))
	a := s.creds(s.issue(pki.Host{Names: []string{"a"}, Algorithm: pki.P384}))
	for _, tt := range []struct {
		priority string
		peer     *Credentials
		want     string
	}{
		{"NORMAL", p256, ""},
		{"NORMAL:%PROFILE_HIGH", p256, ""},
		{"NORMAL:%PROFILE_ULTRA", p384, "signed with ECDSA-SHA256"},
		{"SECURE256", p256, "signs with none"},
		{"SECURE256", p384, ""},
		{"NORMAL:-SIGN-ECDSA-SECP256R1-SHA256", p256, "signs with none"},
		{"NORMAL:-SIGN-ECDSA-SECP256R1-SHA256", p384, ""},
		{"NORMAL:%PROFILE_ULTRA", p256, "key of 256 bits, less than the 384"},
		{"SUITEB192:+VERS-TLS1.3", p384, "signed with ECDSA-SHA256"},
	} {
		pol := policy(t, tt.priority)
		_, err, _ := shake(t, a.clientConfig(rules(t, "b"), settings{Policy: pol}), tt.peer.serverConfig(settings{}))
		var pe *PolicyError
		if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &pe) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v; want %q", tt.priority, err, tt.want)
		}
		// The same is found on the host itself beforehand.
		if findings := pol.Check(tt.peer); (len(findings) > 0) != (tt.want != "") {
			t.Errorf("%s: on the host: %v", tt.priority, findings)
		}
	}
}

func BenchmarkGate(b *testing.B) {
	s := newSite(b)
	creds := s.creds(s.host("b"))
	for _, priority := range []string{"", only + "AES-256-GCM"} {
		var opts settings
		if priority != "" {
			opts.Policy = policy(b, priority)
		}
		client, server := creds.clientConfig(rules(b, "b"), opts), creds.serverConfig(opts)
		b.Run(fmt.Sprintf("policy=%v", priority != ""), func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					here, there := net.Pipe()
					done := make(chan error, 1)
					go func() {
						conn := serverOver(there, server)
						err := conn.Handshake()
						if err == nil {
							_, err = conn.Write([]byte{1})
						}
						done <- err
					}()
					conn := clientOver(here, client)
					here.SetDeadline(time.Now().Add(20 * time.Second))
					if _, err := conn.Read(make([]byte, 1)); err != nil {
						b.Error(err)
					}
					if err := <-done; err != nil {
						b.Error(err)
					}
					here.Close()
					there.Close()
				}
			})
		})
	}
}

// TestGateKeepsUnlikeOut proves the gate's order: like ones together, unlike ones one after the
// other, none overtaken.
func TestGateKeepsUnlikeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		in := make(chan string, 10)
		enter := func(name string, m suiteMask) {
			go func() {
				g.enter(m)
				in <- name
			}()
			synctest.Wait()
		}
		inside := func(want ...string) {
			t.Helper()
			synctest.Wait()
			for _, w := range want {
				select {
				case got := <-in:
					if got != w {
						t.Errorf("%s came in, not %s", got, w)
					}
				default:
					t.Errorf("%s is kept out", w)
				}
			}
			if len(in) > 0 {
				t.Errorf("%s came in", <-in)
			}
		}
		enter("first", 1)
		enter("its like", 1)
		inside("first", "its like")
		enter("another", 2)
		enter("a late like of the first", 1)
		inside()
		g.leave()
		inside()
		g.leave()
		inside("another")
		if !slices.Equal(defaultCipherSuitesTLS13, []uint16{tls.TLS_AES_256_GCM_SHA384}) {
			t.Errorf("the suites are %x", defaultCipherSuitesTLS13)
		}
		g.leave()
		inside("a late like of the first")
		g.leave()
	})
	if !slices.Equal(defaultCipherSuitesTLS13, preset[0]) {
		t.Errorf("crypto/tls was left with %x", defaultCipherSuitesTLS13)
	}
}
