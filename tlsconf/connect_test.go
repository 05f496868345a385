package tlsconf

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// engine is crypto/tls's.
type engine struct{}

type engineConn struct{ *tls.Conn }

func (c engineConn) ConnectionState() (tls.ConnectionState, bool) {
	return c.Conn.ConnectionState(), true
}

func (engine) Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (engineConn, error) {
	return shaken(ctx, raw, tls.Client(raw, cfg))
}

func (engine) Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (engineConn, error) {
	return shaken(ctx, raw, tls.Server(raw, cfg))
}

func shaken(ctx context.Context, raw net.Conn, c *tls.Conn) (engineConn, error) {
	err := c.HandshakeContext(ctx)
	if err != nil {
		raw.Close()
	}
	return engineConn{c}, err
}

// meet has a client meet a server, and returns what each came to.
func meet(t *testing.T, c Client, s Server) (client, server engineConn, cerr, serr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan bool)
	go func() {
		defer close(done)
		var raw net.Conn
		if raw, serr = ln.Accept(); serr == nil {
			t.Cleanup(func() { raw.Close() })
			server, _, serr = Accept(ctx, engine{}, raw, s)
		}
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	client, _, cerr = Connect(ctx, engine{}, raw, c)
	<-done
	return client, server, cerr, serr
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dialed(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAcceptAsksWhoMayComeIn(t *testing.T) {
	s, other := newSite(t), newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	f := other.files(other.host("a"), other.ca)
	write(t, f.CA, append(s.ca.CertPEM(), other.ca.CertPEM()...), 0o644)
	stranger := mustLoad(t, f)
	denied := errors.New("not today")
	for _, tt := range []struct {
		name    string
		client  Client
		inWords bool
		asked   bool // Authorize
		answer  error
		cause   Cause // of the server's error, if it isn't Authorize's
		told    bool
	}{
		{"let in", Client{Credentials: a}, false, true, nil, "", false},
		{"let in, in words", Client{Credentials: a}, true, true, nil, "", false},
		{"denied", Client{Credentials: a}, false, true, denied, "", false},
		{"denied in words", Client{Credentials: a, Protocols: []string{"x"}}, true, true, denied, "", true},
		{"of no protocol, denied in words", Client{Credentials: a}, true, true, denied, "", true},
		{"of another CA", Client{Credentials: stranger}, false, false, nil, CauseWrongCA, false},
		{"of another CA, in words", Client{Credentials: stranger, Protocols: []string{"x"}}, true, false, nil, CauseWrongCA, true},
		{"of another CA, of no protocol", Client{Credentials: stranger}, true, false, nil, CauseWrongCA, false},
		// Only the end of the handshake tells.
		{"that signs with what the policy leaves out", Client{Credentials: s.creds(s.issue(rsaHost("a")))}, false, true, nil, CausePolicy, false},
		{"that signs so, in words", Client{Credentials: s.creds(s.issue(rsaHost("a"))), Protocols: []string{"x"}}, true, false, nil, CausePolicy, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			tt.client.Expect, tt.client.Name = rules(t, "b"), "b"
			_, server, _, err := meet(t, tt.client, Server{
				Credentials: b, Policy: policy(t, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-RSA-PSS-RSAE-SHA256"), Name: "a", Protocols: []string{"x"}, InWords: tt.inWords,
				Authorize: func(p *Peer) error {
					asked = true
					if p.DNS[0] != "a" {
						t.Errorf("asked of %v", p.Identity)
					}
					if err := p.Within(nil); (err == nil) != tt.inWords {
						t.Errorf("a second policy: %v", err)
					}
					return tt.answer
				},
			})
			if asked != tt.asked {
				t.Errorf("asked: %v", asked)
			}
			if (err == nil) != (server.Conn != nil) || (err == nil) != (tt.answer == nil && tt.cause == "") {
				t.Fatalf("%v with %v", server.Conn, err)
			}
			var refusal *Refusal[engineConn]
			if errors.As(err, &refusal) != tt.told || tt.told && refusal.Conn.Conn == nil {
				t.Errorf("whether it can be told: %v", err)
			}
			var he *HandshakeError
			switch {
			case tt.answer != nil:
				if !errors.Is(err, denied) || errors.As(err, &he) {
					t.Errorf("%v", err)
				}
			case tt.cause != "":
				if !errors.As(err, &he) || he.Cause != tt.cause || he.Peer != "a" {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// rsaHost signs with SHA-256 by crypto/tls's own choice.
func rsaHost(name string) pki.Host { return pki.Host{Names: []string{name}, Algorithm: pki.RSA} }

func TestConnectClosesWhatItRefuses(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.issue(rsaHost("b")))
	everyone := func(*Peer) error { return nil }
	for name, c := range map[string]Client{
		"name":     {Credentials: a, Expect: rules(t, "c")},
		"policy":   {Credentials: a, Expect: rules(t, "b"), Policy: policy(t, "NORMAL:-SIGN-RSA-PSS-RSAE-SHA256")},
		"protocol": {Credentials: a, Expect: rules(t, "b"), Protocols: []string{"x"}},
	} {
		t.Run(name, func(t *testing.T) {
			client, server, err, _ := meet(t, c, Server{Credentials: b, Authorize: everyone})
			var he *HandshakeError
			if !errors.As(err, &he) || he.Cause != Cause(name) || client.Conn != nil {
				t.Errorf("%v with %v", client.Conn, err)
			}
			if server.Conn == nil {
				return // it has seen an alert
			}
			// No close_notify, which would say that all is well.
			if rest, err := io.ReadAll(server.NetConn()); err != nil || len(rest) > 0 {
				t.Errorf("read %x, %v", rest, err)
			}
		})
	}
	c := Client{Credentials: a, Expect: rules(t, "b"), Protocols: []string{"x"}, AnyProto: true}
	if _, _, err, _ := meet(t, c, Server{Credentials: b, Authorize: everyone}); err != nil {
		t.Errorf("a server without protocols, which may be: %v", err)
	}
	c = Client{Credentials: a, Expect: rules(t, "b"), Protocols: []string{"x"}, Mark: "y"}
	for chosen, may := range map[string]bool{"x": true, "y": false} {
		if _, _, err, _ := meet(t, c, Server{Credentials: b, Authorize: everyone, Protocols: []string{chosen}}); (err == nil) != may {
			t.Errorf("a server that chooses %s: %v", chosen, err)
		}
	}
}
