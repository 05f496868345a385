package tlsconf

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// site is a CA for a test and what it issues.
type site struct {
	t  testing.TB
	ca *pki.CA
}

func newSite(t testing.TB) *site {
	t.Helper()
	ca, err := pki.NewCA(pki.Authority{Name: "test CA"})
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, ca}
}

func (s *site) issue(h pki.Host) *pki.Pair {
	s.t.Helper()
	p, err := s.ca.Issue(h)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *site) host(name string) *pki.Pair {
	s.t.Helper()
	return s.issue(pki.Host{Names: []string{name}})
}

// files writes a pair and a CA into a new folder and names them.
func (s *site) files(p *pki.Pair, ca *pki.CA) Files {
	s.t.Helper()
	dir := s.t.TempDir()
	f := Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	key, err := p.KeyPEM()
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, f.CA, ca.CertPEM(), 0o644)
	write(s.t, f.Cert, p.CertPEM(), 0o644)
	write(s.t, f.Key, key, 0o600)
	return f
}

// creds loads the credentials of a host with the given certificate.
func (s *site) creds(p *pki.Pair) *Credentials {
	s.t.Helper()
	return mustLoad(s.t, s.files(p, s.ca))
}

func mustLoad(t testing.TB, f Files) *Credentials {
	t.Helper()
	found, err := Find(Search{Files: f})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(found)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t testing.TB, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func rules(t testing.TB, list ...string) Rules {
	t.Helper()
	rs, err := ParseRules(list)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

var (
	longAgo   = time.Now().Add(-48 * time.Hour)
	yesterday = time.Now().Add(-24 * time.Hour)
	tomorrow  = time.Now().Add(24 * time.Hour)

	serverOnly = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	clientOnly = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)
