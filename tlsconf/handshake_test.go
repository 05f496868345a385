package tlsconf

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// clientOver is tls.Client after gated.
func clientOver(conn net.Conn, cfg *tls.Config) *tls.Conn { return tls.Client(gated(conn, cfg)) }

// serverOver is tls.Server after gated.
func serverOver(conn net.Conn, cfg *tls.Config) *tls.Conn { return tls.Server(gated(conn, cfg)) }

// shake runs one handshake over TCP and one byte in each direction, and returns each side's error.
func shake(t *testing.T, client, server *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return state, err, err
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		defer raw.Close()
		conn := serverOver(raw, server)
		done <- talk(ctx, conn)
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Error(err)
		return state, err, err
	}
	defer raw.Close()
	conn := clientOver(raw, client)
	clientErr = talk(ctx, conn)
	raw.Close()
	return conn.ConnectionState(), clientErr, <-done
}

// talk does the handshake, writes a byte and reads one.
func talk(ctx context.Context, conn *tls.Conn) error {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	// A peer that has refused may have closed already; its reason is what is read.
	_, werr := conn.Write([]byte{1})
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return err
	}
	return werr
}

func TestHandshake(t *testing.T) {
	s := newSite(t)
	a, b := s.creds(s.host("a.example.org")), s.creds(s.issue(pki.Host{
		Names: []string{"b.example.org"}, Algorithm: pki.RSA,
	}))
	opts := settings{NextProtos: []string{"sluice/1"}}
	var seen Identity
	server := b.serverConfig(opts)
	server.VerifyConnection = func(cs tls.ConnectionState) (err error) {
		seen, err = IdentityOf(cs.PeerCertificates[0])
		return err
	}
	// The address dialled is 127.0.0.1, which no certificate holds.
	cs, cerr, serr := shake(t, a.clientConfig(rules(t, "b.example.org"), opts), server)
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	if cs.Version != tls.VersionTLS13 || cs.NegotiatedProtocol != "sluice/1" || cs.ServerName != "" {
		t.Errorf("version %x, protocol %q, server name %q", cs.Version, cs.NegotiatedProtocol, cs.ServerName)
	}
	if len(seen.DNS) != 1 || seen.DNS[0] != "a.example.org" || seen.DN != "O=test CA,CN=a.example.org" {
		t.Errorf("the server saw %v", seen)
	}
}

func TestExplainTellsFailuresApart(t *testing.T) {
	s, other := newSite(t), newSite(t)
	a, b := s.creds(s.host("a")), s.creds(s.host("b"))
	stranger := other.creds(other.host("b"))
	at := func(d time.Duration) func() time.Time {
		return func() time.Time { return time.Now().Add(d) }
	}
	const years = 365 * 24 * time.Hour
	short, err := s.ca.Sub(pki.Authority{Name: "sub CA", NotAfter: time.Now().Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	below, err := short.Issue(pki.Host{Names: []string{"a"}, NotAfter: time.Now().Add(30 * 24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	onlyServer := s.issue(pki.Host{Names: []string{"a"}, Usages: serverOnly})
	plain := func(c *tls.Config, change func(*tls.Config)) *tls.Config { change(c); return c }
	b1 := rules(t, "b")

	type side struct {
		cause Cause
		side  Side
		text  string
	}
	tests := []struct {
		name           string
		client, server *tls.Config
		wantClient     side
		wantServer     side
	}{
		{"server of another CA", a.clientConfig(b1, settings{}), stranger.serverConfig(settings{}),
			side{CauseWrongCA, Here, `"CN=test CA"`}, side{CauseBadCert, There, "refused this host's certificate"}},
		{"client of another CA", plain(stranger.clientConfig(b1, settings{}), func(c *tls.Config) { c.VerifyConnection = nil }), b.serverConfig(settings{}),
			side{CauseWrongCA, There, "does not come from a CA that the peer trusts"}, side{CauseWrongCA, Here, "does not come from"}},
		{"server's name", a.clientConfig(rules(t, "c.example.org", "d.*"), settings{}), b.serverConfig(settings{}),
			side{CauseName, Here, "DNS:b, DN:O=test CA,CN=b; expected c.example.org, d.*"}, side{CauseBadCert, There, ""}},
		{"server expired", a.clientConfig(b1, settings{Time: at(2 * years)}), b.serverConfig(settings{}),
			side{CauseExpired, Here, "current time"}, side{CauseBadCert, There, ""}},
		{"client expired", a.clientConfig(b1, settings{}), b.serverConfig(settings{Time: at(2 * years)}),
			side{CauseExpired, There, "out of date"}, side{CauseExpired, Here, "current time"}},
		{"client not yet valid", a.clientConfig(b1, settings{}), b.serverConfig(settings{Time: at(-2 * years)}),
			side{CauseExpired, There, ""}, side{CauseNotYetValid, Here, "is before"}},
		{"a CA above the client expired", s.creds(below).clientConfig(b1, settings{}), b.serverConfig(settings{Time: at(48 * time.Hour)}),
			side{CauseExpired, There, ""}, side{CauseExpired, Here, `issued by "CN=sub CA") is good, and that of a CA above it, "CN=sub CA", is out of date`}},
		{"no client certificate", plain(a.clientConfig(b1, settings{}), func(c *tls.Config) { c.Certificates = nil }), b.serverConfig(settings{}),
			side{CauseNoCertificate, There, "was shown none"}, side{CauseNoCertificate, Here, "showed no certificate"}},
		{"client not for this role", plain(a.clientConfig(b1, settings{}), func(c *tls.Config) { c.Certificates = []tls.Certificate{onlyServer.TLS()} }), b.serverConfig(settings{}),
			side{CauseBadCert, There, ""}, side{CauseUsage, Here, "extended key usage"}},
		{"old client", a.clientConfig(b1, settings{MinVersion: tls.VersionTLS12}), b.serverConfig(settings{}),
			side{CauseVersion, There, "TLS versions"}, side{CauseVersion, Here, "303"}},
		{"old server", a.clientConfig(b1, settings{}), plain(b.serverConfig(settings{MinVersion: tls.VersionTLS12}), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }),
			side{CauseVersion, There, ""}, side{CauseVersion, Here, ""}},
		{"no protocol in common", a.clientConfig(b1, settings{NextProtos: []string{"sluice/1"}}), b.serverConfig(settings{NextProtos: []string{"sluice/2"}}),
			side{CauseProtocol, There, "ALPN"}, side{CauseProtocol, Here, "sluice/1"}},
		{"server without protocols", a.clientConfig(b1, settings{NextProtos: []string{"sluice/1"}}), b.serverConfig(settings{}),
			side{CauseProtocol, Here, "sluice/1"}, side{CauseBadCert, There, ""}},
		{"no group in common", plain(a.clientConfig(b1, settings{}), func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }),
			plain(b.serverConfig(settings{}), func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }),
			side{CausePolicy, There, "in common"}, side{CausePolicy, Here, "group"}},
	}
	tests[9].client.MaxVersion = tls.VersionTLS12
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, cerr, serr := shake(t, tt.client, tt.server)
			for _, got := range []struct {
				err  error
				want side
				who  string
			}{{Explain(cerr, "peer-1"), tt.wantClient, "client"}, {Explain(serr, "peer-1"), tt.wantServer, "server"}} {
				var he *HandshakeError
				if !errors.As(got.err, &he) {
					t.Fatalf("%s: %v", got.who, got.err)
				}
				if he.Cause != got.want.cause || he.Side != got.want.side || !strings.Contains(he.Error(), got.want.text) ||
					!strings.HasPrefix(he.Error(), "TLS with peer-1: ") {
					t.Errorf("%s: cause %q, side %q: %v\nunder it: %v", got.who, he.Cause, he.Side, he, he.Err)
				}
			}
		})
	}
}

func TestExplainPeersThatDoNotSpeakTLS(t *testing.T) {
	s := newSite(t)
	cfg := s.creds(s.host("a")).clientConfig(rules(t, "b"), settings{})
	for _, tt := range []struct {
		name, says string
		cause      Cause
		want       string
	}{
		{"ssh", "SSH-2.0-OpenSSH_9.2\r\n", CauseNotTLS, "SSH"},
		{"http", "HTTP/1.1 400 Bad Request\r\n", CauseNotTLS, "HTTP"},
		{"libvirt", "\x00\x00\x00\x1c\x20\x00\x80\x86\x00\x00\x00\x01", CauseNotTLS, "16514"},
		{"qemu", "QEVM\x00\x00\x00\x03", CauseNotTLS, `"QEVM\x00"`},
		{"nothing", "", CauseClosed, "closed the connection"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				there, err := ln.Accept()
				if err != nil {
					return
				}
				defer there.Close()
				// All of the hello, for a close with bytes unread would be a reset.
				if _, err := there.Read(make([]byte, 1<<16)); err != nil {
					return
				}
				there.Write([]byte(tt.says))
			}()
			here, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer here.Close()
			conn := tls.Client(here, cfg)
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			err = Explain(conn.Handshake(), "b")
			var he *HandshakeError
			if !errors.As(err, &he) || he.Cause != tt.cause || !strings.Contains(he.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		conn := tls.Client(here, cfg)
		if err := conn.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var he *HandshakeError
		if err := Explain(conn.Handshake(), "b"); !errors.As(err, &he) || he.Cause != CauseTimeout {
			t.Errorf("%v", err)
		}
	})
}

func TestExplainKeepsWhatItHasExplained(t *testing.T) {
	if Explain(nil, "b") != nil {
		t.Error("nil became an error")
	}
	err := Explain(errors.New("some other failure"), "b")
	if again := Explain(err, "c"); again != err {
		t.Errorf("explained twice: %v", again)
	}
	if err.Error() != "TLS with b: some other failure" {
		t.Errorf("%v", err)
	}
}

// TestTextsAreCryptoTLSs fails when a new Go has other words for an error.
func TestTextsAreCryptoTLSs(t *testing.T) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "src/crypto/tls/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal("no sources of crypto/tls in ", strings.TrimSpace(string(out)), err)
	}
	var source []byte
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, data...)
	}
	for _, tt := range texts {
		text := strings.TrimPrefix(tt.text, "tls: ") // RecordHeaderError adds this itself
		if !bytes.Contains(source, []byte(text)) {
			t.Errorf("crypto/tls does not say %q", tt.text)
		}
	}
}

// TestRenegotiationIsTold has a server ask for it, which crypto/tls answers with an alert.
func TestRenegotiationIsTold(t *testing.T) {
	needTool(t, "openssl")
	s := newSite(t)
	here, peer := s.creds(s.host("here")), s.files(s.host("there"), s.ca)
	addr, commands := serveCommands(t, func(port string) (string, *exec.Cmd) {
		return "ACCEPT", exec.Command("openssl", "s_server", "-accept", "127.0.0.1:"+port, "-tls1_2", "-Verify", "3", "-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key)
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	c, _, err := Connect(t.Context(), engine{}, conn, Client{Credentials: here, Policy: policy(t, "NORMAL"), Name: "there", Expect: rules(t, "there")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(commands, "r\n"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 1))
	var he *HandshakeError
	if err = Explain(err, "there"); !errors.As(err, &he) || !strings.Contains(he.What, "negotiate the connection anew") || !strings.Contains(he.Remedy, "TLS 1.3") {
		t.Errorf("%v", err)
	}
}
