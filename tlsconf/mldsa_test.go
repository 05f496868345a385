package tlsconf

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mldsa copies the files of testdata/ml-dsa, which OpenSSL 3.5 has made, as no user but this may read
// the keys.
func mldsa(t *testing.T) (at func(name string) string) {
	t.Helper()
	dir := t.TempDir()
	at = func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"ec-ca.pem", "mldsa-ca.pem", "ec.pem", "ec.key", "mldsa.pem", "mldsa.key"} {
		data, err := os.ReadFile(filepath.Join("testdata", "ml-dsa", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, at(name), data, 0o600)
	}
	return at
}

// Go has no ML-DSA: what has to do with it is refused in words, or told.
func TestMLDSAFiles(t *testing.T) {
	at := mldsa(t)
	s := newSite(t)
	for _, tt := range []struct {
		name  string
		files Files
		file  string
		words []string
	}{
		{"the host's own", Files{CA: at("ec-ca.pem"), Cert: at("mldsa.pem"), Key: at("mldsa.key")}, at("mldsa.pem"),
			[]string{"it is for an ML-DSA-65 key, which Go does not have", "use an ECDSA, RSA or Ed25519 key"}},
		{"the key alone", Files{CA: at("mldsa-ca.pem"), Cert: at("ec.pem"), Key: at("mldsa.key")}, at("mldsa.key"),
			[]string{"an ML-DSA-65 key"}},
		{"the authority's", Files{CA: at("mldsa-ca.pem"), Cert: at("ec.pem"), Key: at("ec.key")}, at("mldsa-ca.pem"),
			[]string{`"CN=mldsa CA", is for an ML-DSA-65 key, which Go does not have`, "nobody can come in", "use a CA with an ECDSA, RSA or Ed25519 key"}},
	} {
		found, err := Find(Search{Files: tt.files})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(found)
		if tt.name == "the key alone" { // the authority's is told first, and all else after it
			_, err = readKey(tt.file)
		}
		var finding *Finding
		if !errors.As(err, &finding) || finding.File != tt.file {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for _, w := range tt.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v\nlacks %q", tt.name, err, w)
			}
		}
	}

	// Beside an ordinary authority it is a warning, and a host that only it vouches for is refused.
	authority, err := os.ReadFile(at("mldsa-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	f := s.files(s.host("a"), s.ca)
	write(t, f.CA, append(bytes.Clone(authority), s.ca.CertPEM()...), 0o644)
	c := mustLoad(t, f)
	if len(c.Warnings) != 1 || c.Warnings[0].File != f.CA || !strings.Contains(c.Warnings[0].Problem, "an ML-DSA-65 key") {
		t.Errorf("in a bundle: %v", c.Warnings)
	}
	f.Cert, f.Key = at("ec.pem"), at("ec.key")
	found, err := Find(Search{Files: f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(found); err == nil || !strings.Contains(err.Error(), `it is signed by "CN=mldsa CA" with an ML-DSA-65 key`) {
		t.Errorf("a host's by it: %v", err)
	}
}

// TestMLDSAPeers meets an OpenSSL that shows a certificate of ML-DSA's, or takes no other signatures.
func TestMLDSAPeers(t *testing.T) {
	if !*later {
		t.Skip("Debian 12's OpenSSL has no ML-DSA: make test-versions runs this on newer ones")
	}
	at := mldsa(t)
	s := newSite(t)
	here, peer := s.creds(s.host("here.example.org")), s.files(s.host("there.example.org"), s.ca)
	check := func(t *testing.T, err error, words ...string) {
		t.Helper()
		var he *HandshakeError
		if err = Explain(err, "there"); !errors.As(err, &he) || he.Remedy == "" {
			t.Fatalf("%v", err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v\nlacks %q", err, w)
			}
		}
	}
	for name, tt := range map[string]struct {
		cert, key string
		server    string   // s_server takes it
		client    string   // and s_client
		there     []string // the words of a client here
		here      []string // and of a server
	}{
		"certificate": {at("mldsa.pem"), at("mldsa.key"), "-no_ticket", "-no_ticket", []string{"ECDSA, RSA or Ed25519"}, []string{"showed no certificate", "ECDSA, RSA or Ed25519"}},
		"signatures":  {peer.Cert, peer.Key, "-client_sigalgs=mldsa65", "-sigalgs=mldsa65", []string{"no signature that its key can make", "ML-DSA"}, []string{"signatures", "ML-DSA"}},
	} {
		t.Run(name+", server", func(t *testing.T) {
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				return "ACCEPT", exec.Command("openssl", "s_server", "-accept", "127.0.0.1:"+port, "-rev", "-Verify", "3", "-verify_return_error", "-tls1_3",
					"-CAfile", peer.CA, "-cert", tt.cert, "-key", tt.key, tt.server)
			})
			raw, err := net.DialTimeout("tcp", addr, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			conn := clientOver(raw, here.clientConfig(rules(t, "there.example.org"), settings{}))
			if err = conn.Handshake(); err == nil {
				_, err = bufio.NewReader(conn).ReadString('\n')
			}
			check(t, err, tt.there...)
		})
		t.Run(name+", client", func(t *testing.T) {
			_, err := acceptEcho(t, here.serverConfig(settings{}), func(port string) *exec.Cmd {
				return exec.Command("openssl", "s_client", "-connect", "127.0.0.1:"+port, "-quiet", "-verify", "3", "-tls1_3",
					"-CAfile", peer.CA, "-cert", tt.cert, "-key", tt.key, tt.client)
			})
			check(t, err, tt.here...)
		})
	}
}
