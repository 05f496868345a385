package tlsconf

import (
	"crypto/tls"
	"fmt"
	"os/exec"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
)

// TestKindsOfKeys meets GnuTLS and OpenSSL, in both roles and both versions, with every kind of key
// in the authority and in the hosts' certificates. The peer may have what this host has not: RSA
// files are what most sites have.
func TestKindsOfKeys(t *testing.T) {
	for _, tool := range []string{"gnutls-serv", "gnutls-cli", "openssl"} {
		needTool(t, tool)
	}
	kinds := []pki.Algorithm{pki.RSA, pki.ECDSA, pki.Ed25519}
	for _, of := range kinds {
		ca, err := pki.NewCA(pki.Authority{Name: "test CA", Algorithm: of})
		if err != nil {
			t.Fatal(err)
		}
		s := &site{t, ca}
		for i, leaf := range kinds {
			here := s.creds(s.issue(pki.Host{Names: []string{"here.example.org"}, Algorithm: kinds[(i+1)%len(kinds)]}))
			peer := s.files(s.issue(pki.Host{Names: []string{"there.example.org"}, Algorithm: leaf}), ca)
			for version, id := range map[string]uint16{"TLS1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13} {
				t.Run(fmt.Sprintf("%s by %s, %s", leaf, of, version), func(t *testing.T) {
					t.Parallel()
					priority := "NORMAL:-VERS-ALL:+VERS-" + version
					opts := settings{Policy: policy(t, priority)}
					alone := map[string]string{"TLS1.2": "-tls1_2", "TLS1.3": "-tls1_3"}[version]
					came := func(cs tls.ConnectionState, err error) {
						t.Helper()
						if err != nil {
							t.Fatal(err)
						}
						if kind, _ := keyOf(cs.PeerCertificates[0]); cs.Version != id || kind != map[pki.Algorithm]string{pki.RSA: "RSA", pki.ECDSA: "EC", pki.Ed25519: "Ed25519"}[leaf] {
							t.Errorf("%s with a key of %s", tls.VersionName(cs.Version), kind)
						}
						if err := opts.Policy.finish(cs); err != nil {
							t.Error(err)
						}
					}
					came(dialEcho(t, serve(t, func(port string) (string, *exec.Cmd) {
						return "Server listening", exec.Command("gnutls-serv", "--port", port, "--echo", "--require-client-cert", "--verify-client-cert",
							"--priority", priority, "--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key)
					}), here.clientConfig(rules(t, "there.example.org"), opts)), nil)
					came(dialEcho(t, serve(t, func(port string) (string, *exec.Cmd) {
						return "ACCEPT", exec.Command("openssl", "s_server", "-accept", "127.0.0.1:"+port, "-rev", "-Verify", "3", "-verify_return_error", alone, "-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key)
					}), here.clientConfig(rules(t, "there.example.org"), opts)), nil)
					came(acceptEcho(t, here.serverConfig(opts), func(port string) *exec.Cmd {
						return exec.Command("gnutls-cli", "--port", port, "--priority", priority, "--verify-hostname", "here.example.org",
							"--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key, "127.0.0.1")
					}))
					came(acceptEcho(t, here.serverConfig(opts), func(port string) *exec.Cmd {
						return exec.Command("openssl", "s_client", "-connect", "127.0.0.1:"+port, "-quiet", "-verify", "3", "-verify_return_error", "-verify_hostname", "here.example.org", alone,
							"-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key)
					}))
				})
			}
		}
	}
}
