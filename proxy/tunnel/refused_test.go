package tunnel

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/tlsconf"
)

// insecure: it is the tunnel, as server, that these tests are about, and that
// checks; a client that checks it in turn would hide whom the tunnel refuses.
const insecure = true

// Whoever is not authenticated and allowed never makes the tunnel connect to its target.
func TestClientsRefused(t *testing.T) {
	s := newSite(t)
	l, to := target(t, s.path("out"))
	r := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: to, Allow: names(t, "host-a", "*.example.org"), Limits: spec.Limits{Handshake: time.Second}}, Credentials: s.host(s.ca, "host-b")})
	by := func(ca *pki.CA, name string) func(net.Conn) {
		pair, err := ca.Issue(pki.Host{Names: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		return func(c net.Conn) {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: insecure, Certificates: []tls.Certificate{pair.TLS()}})
			tc.Write([]byte("let me in"))
			if _, err := tc.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("a refused client's read: %v", err)
			}
		}
	}
	for _, c := range []struct {
		name string
		do   func(net.Conn)
		want []string
	}{
		{"another name", by(s.ca, "host-c"), []string{"is valid, but its name is not allowed", "DNS:host-c", "allowed: host-a, *.example.org", "--allow"}},
		{"another authority", by(newCA(t), "host-a"), []string{"does not come from a CA that this host trusts"}},
		{"no certificate", func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: insecure}).Write([]byte("let me in"))
			io.Copy(io.Discard, c)
		}, []string{"the peer showed no certificate"}},
		{"no TLS", func(c net.Conn) {
			c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			io.Copy(io.Discard, c)
		}, []string{"HTTP without TLS"}},
		{"silence", func(c net.Conn) { io.Copy(io.Discard, c) }, []string{"no answer within 1s"}},
		{"hanging up", func(c net.Conn) {}, []string{"closed the connection during the handshake"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, r.Address())
			c.do(conn)
			conn.Close()
			rep := r.end()
			for _, w := range c.want {
				if rep.Err == nil || !strings.Contains(rep.Err.Error(), w) {
					t.Errorf("%q is not in: %v", w, rep.Err)
				}
			}
		})
	}
	l.(*net.UnixListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := l.Accept(); err == nil {
		t.Error("the target was connected to")
	}
}

// A server that is not the expected one, or none at all: the client is told by
// a reset, and not one of its bytes has left.
func TestServersRefused(t *testing.T) {
	s := newSite(t)
	here := s.host(s.ca, "host-a")
	serverOf := func(store *tlsconf.Store, allow string) func() spec.Address {
		return func() spec.Address {
			_, to := target(t, loopback(spec.TCP))
			return serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: to, Allow: names(t, allow)}, Credentials: store}).Address()
		}
	}
	deaf := func() spec.Address {
		_, a := target(t, loopback(spec.TCP))
		return spec.Address{Kind: spec.TLS, At: a.At}
	}
	for _, c := range []struct {
		name string
		to   func() spec.Address
		want []string
	}{
		{"another name", serverOf(s.host(s.ca, "host-c"), "host-a"), []string{"holds DNS:host-c", "expected host-b", "--tls-name"}},
		{"another authority", serverOf(s.host(newCA(t), "host-b"), "*"), []string{"does not come from a CA that this host trusts"}},
		{"not let in", serverOf(s.host(s.ca, "host-b"), "host-x"), []string{"read from the target", "the peer refused this host's certificate"}},
		{"nobody", func() spec.Address {
			l, a := target(t, loopback(spec.TCP))
			l.Close()
			return spec.Address{Kind: spec.TLS, At: a.At}
		}, []string{"connect to tls:127.0.0.1:", "connection refused"}},
		{"silence", deaf, []string{"no answer within 1s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: c.to(), Names: names(t, "host-b"), Limits: spec.Limits{Handshake: time.Second}}, Credentials: here})
			client, err := net.DialTimeout("tcp", r.Address().At, patience)
			if err == nil { // else the reset was faster
				_, err = own(t, client).Read(make([]byte, 1))
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client reads %v", err)
			}
			rep := r.end()
			for _, w := range c.want {
				if rep.Err == nil || !strings.Contains(rep.Err.Error(), w) {
					t.Errorf("%q is not in: %v", w, rep.Err)
				}
			}
			if rep.Sent != 0 || rep.Received != 0 {
				t.Errorf("bytes have passed: %+v", rep)
			}
		})
	}
}

// A peer that signs with what the policy leaves out shows that at the end of
// its handshake, and gets no byte.
func TestSignaturesOutsideThePolicy(t *testing.T) {
	s := newSite(t)
	s.algorithm = pki.RSA
	strict, err := tlsconf.ParsePriority("SECURE256", nil)
	if err != nil {
		t.Fatal(err)
	}
	l, out := target(t, s.path("out"))
	for _, c := range []struct {
		name           string
		client, server *tlsconf.Policy
		refuses        int // which of the two
	}{{"the client", strict, nil, 0}, {"the server", nil, strict, 1}} {
		t.Run(c.name, func(t *testing.T) {
			second := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: out, Allow: names(t, "host-a")}, Credentials: s.host(s.ca, "host-b"), Policy: always(c.server)})
			first := serve(t, Options{Spec: spec.Spec{Listen: s.path(c.name), To: second.Address(), Names: names(t, "host-b")}, Credentials: s.host(s.ca, "host-a"), Policy: always(c.client)})
			conn := dial(t, first.Address())
			conn.Write([]byte("secret"))
			if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the client reads %d, %v", n, err)
			}
			rep := []*running{first, second}[c.refuses].end()
			if !needs.ErrorSays(rep.Err, "the peer signed with PSSWithSHA256") || !needs.ErrorSays(rep.Err, `priority "SECURE256" does not allow`) {
				t.Error(rep.Err)
			}
		})
	}
	// The server may connect to its target before a client hangs up, and has nothing for it.
	l.(*net.UnixListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Errorf("the target gets %q", got)
		}
		c.Close()
	}
}

// A client that was let in and whose target is not there is reset, without a
// close_notify that would say that all is well.
func TestTargetMissing(t *testing.T) {
	s := newSite(t)
	r := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TLS), To: s.path("none"), Allow: names(t, "host-a")}, Credentials: s.host(s.ca, "host-b")})
	pair, err := s.ca.Issue(pki.Host{Names: []string{"host-a"}})
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(dial(t, r.Address()), &tls.Config{InsecureSkipVerify: insecure, Certificates: []tls.Certificate{pair.TLS()}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v", err)
	}
	if rep := r.end(); !needs.ErrorSays(rep.Err, "connect to unix:") {
		t.Error(rep.Err)
	}
}
