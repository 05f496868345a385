package tlsconf

import (
	"bufio"
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// TestRefusalsOfPeers has GnuTLS and OpenSSL refuse this host's certificate, each in its own way,
// and looks at what is told here.
func TestRefusalsOfPeers(t *testing.T) {
	for _, tool := range []string{"gnutls-serv", "gnutls-cli", "openssl"} {
		needTool(t, tool)
	}
	theirs, ours := newSite(t), newSite(t)
	peer := theirs.files(theirs.host("there.example.org"), theirs.ca)
	// This host trusts the peer's CA, and the peer does not trust this host's.
	wrongCA := ours.files(ours.host("here.example.org"), ours.ca)
	write(t, wrongCA.CA, append(ours.ca.CertPEM(), theirs.ca.CertPEM()...), 0o644)
	stranger := mustLoad(t, wrongCA)
	// loadAt, as Load would not take it.
	f := theirs.files(theirs.issue(pki.Host{Names: []string{"here.example.org"}, NotBefore: longAgo, NotAfter: yesterday}), theirs.ca)
	found, err := Find(Search{Files: f})
	if err != nil {
		t.Fatal(err)
	}
	l := loader{now: yesterday.Add(-time.Hour), creds: &Credentials{Found: found}}
	l.creds.pool, l.creds.CAs = stranger.pool, stranger.CAs
	l.creds.server, l.creds.client = l.loadPairs(found.Server, 0), l.loadPairs(found.Client, 0)
	expired := l.creds

	for _, tt := range []struct {
		name   string
		here   *Credentials
		causes []Cause // the peer may not say why
	}{
		{"wrong CA", stranger, []Cause{CauseWrongCA, CauseBadCert, CauseDenied}},
		{"expired", expired, []Cause{CauseExpired, CauseBadCert, CauseDenied}},
	} {
		check := func(t *testing.T, err error) {
			t.Helper()
			var he *HandshakeError
			if err = Explain(err, "there"); !errors.As(err, &he) || he.Side != There || he.Remedy == "" {
				t.Fatalf("%v", err)
			}
			for _, c := range tt.causes {
				if he.Cause == c {
					t.Log(err)
					return
				}
			}
			t.Errorf("cause %q: %v", he.Cause, err)
		}
		connect := func(t *testing.T, addr string) error {
			t.Helper()
			raw, err := net.DialTimeout("tcp", addr, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			conn := clientOver(raw, tt.here.clientConfig(rules(t, "there.example.org"), settings{}))
			if err := conn.Handshake(); err != nil {
				return err
			}
			_, err = bufio.NewReader(conn).ReadString('\n')
			return err
		}
		t.Run(tt.name+", gnutls-serv", func(t *testing.T) {
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				return "Server listening", exec.Command("gnutls-serv", "--port", port, "--echo", "--require-client-cert", "--verify-client-cert",
					"--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key)
			})
			check(t, connect(t, addr))
		})
		t.Run(tt.name+", openssl s_server", func(t *testing.T) {
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				return "ACCEPT", exec.Command("openssl", "s_server", "-accept", "127.0.0.1:"+port, "-rev", "-Verify", "3", "-verify_return_error",
					"-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key)
			})
			check(t, connect(t, addr))
		})
		for name, client := range map[string]func(port string) *exec.Cmd{
			"gnutls-cli": func(port string) *exec.Cmd {
				return exec.Command("gnutls-cli", "--port", port, "--verify-hostname", "here.example.org",
					"--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key, "127.0.0.1")
			},
			"openssl s_client": func(port string) *exec.Cmd {
				return exec.Command("openssl", "s_client", "-connect", "127.0.0.1:"+port, "-quiet", "-verify", "3", "-verify_return_error",
					"-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key)
			},
		} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				_, err := acceptEcho(t, tt.here.serverConfig(settings{}), client)
				if err == nil {
					t.Fatal("it was not refused")
				}
				check(t, err)
			})
		}
	}
	// A refusal that never came would have been noticed: the good certificate goes through.
	good := theirs.creds(theirs.host("here.example.org"))
	addr := serve(t, func(port string) (string, *exec.Cmd) {
		return "Server listening", exec.Command("gnutls-serv", "--port", port, "--echo", "--require-client-cert", "--verify-client-cert",
			"--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key)
	})
	if cs := dialEcho(t, addr, good.clientConfig(rules(t, "there.example.org"), settings{})); !strings.Contains(cs.PeerCertificates[0].Subject.String(), "there") {
		t.Error("somebody else answered")
	}
}
