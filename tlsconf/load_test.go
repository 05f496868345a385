package tlsconf

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

func TestLoadTellsEachFaultWithItsFileAndRemedy(t *testing.T) {
	s := newSite(t)
	other := newSite(t)
	good := s.host("a.example.org")
	tests := []struct {
		name string
		host pki.Host // a.example.org with these changes
		from *site
		mend func(t *testing.T, f Files)
		file func(f Files) string
		want string
	}{
		{name: "expired", host: pki.Host{NotBefore: longAgo, NotAfter: yesterday}, file: certFile, want: "expired on"},
		{name: "not yet", host: pki.Host{NotBefore: tomorrow}, file: certFile, want: "not valid before"},
		{name: "wrong CA", from: other, file: certFile, want: "does not come from a CA in"},
		{name: "client only", host: pki.Host{Usages: clientOnly}, file: certFile, want: "lacks serverAuth"},
		{name: "server only", host: pki.Host{Usages: serverOnly}, file: certFile, want: "lacks clientAuth"},
		{name: "no signing", host: pki.Host{KeyUsage: x509.KeyUsageKeyAgreement}, file: certFile, want: "does not allow signing"},
		{name: "key of another", file: keyFile, want: "is not the key of", mend: func(t *testing.T, f Files) {
			key, err := good.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			write(t, f.Key, key, 0o600)
		}},
		{name: "key for all", file: keyFile, want: "every user", mend: func(t *testing.T, f Files) { chmod(t, f.Key, 0o644) }},
		{name: "key writable", file: keyFile, want: "may replace", mend: func(t *testing.T, f Files) { chmod(t, f.Key, 0o660) }},
		{name: "no key", file: keyFile, want: "no such file", mend: func(t *testing.T, f Files) { remove(t, f.Key) }},
		{name: "key cut off", file: keyFile, want: "cut off", mend: func(t *testing.T, f Files) { cut(t, f.Key) }},
		{name: "cert cut off", file: certFile, want: "cut off", mend: func(t *testing.T, f Files) { cut(t, f.Cert) }},
		{name: "cert empty", file: certFile, want: "holds no certificate", mend: func(t *testing.T, f Files) { write(t, f.Cert, nil, 0o644) }},
		{name: "CA is a host", file: caFile, want: "is not a CA's", mend: func(t *testing.T, f Files) { write(t, f.CA, good.CertPEM(), 0o644) }},
		{name: "CA too large", file: caFile, want: "larger than", mend: func(t *testing.T, f Files) { write(t, f.CA, make([]byte, maxFile+1), 0o644) }},
		{name: "CA is a folder", file: caFile, want: "is not a file", mend: func(t *testing.T, f Files) {
			remove(t, f.CA)
			if err := os.Mkdir(f.CA, 0o755); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "key is a fifo", file: keyFile, want: "is not a file", mend: func(t *testing.T, f Files) {
			remove(t, f.Key)
			if err := syscall.Mkfifo(f.Key, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "NUL in the name", host: pki.Host{Names: []string{"a.example.org\x00.evil.org"}}, file: certFile, want: "not allowed"},
		{name: "too many names", host: pki.Host{Names: strings.Split(strings.Repeat("a.example.org,", maxNames), ",")[:maxNames]}, file: nil},
		{name: "one name more", host: pki.Host{Names: append(strings.Split(strings.Repeat("a.example.org,", maxNames), ",")[:maxNames], "b")}, file: certFile, want: "257 names"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.host
			if h.Names == nil {
				h.Names = []string{"a.example.org"}
			}
			from := s
			if tt.from != nil {
				from = tt.from
			}
			f := s.files(from.issue(h), s.ca)
			if tt.mend != nil {
				tt.mend(t, f)
			}
			found, err := Find(Search{Files: f})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(found)
			if tt.file == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var finding *Finding
			if !errors.As(err, &finding) {
				t.Fatalf("got %v, want a *Finding", err)
			}
			if finding.File != tt.file(f) || !strings.Contains(finding.Problem, tt.want) || finding.Remedy == "" {
				t.Errorf("got %+v\nwant one about %s with %q", finding, tt.file(f), tt.want)
			}
			// Told once, although the pair is used for both roles.
			if n := strings.Count(err.Error(), "\n"); n != 0 {
				t.Errorf("told %d times:\n%v", n+1, err)
			}
		})
	}
}

func TestLoadCollectsAllFaults(t *testing.T) {
	s := newSite(t)
	f := s.files(s.issue(pki.Host{Names: []string{"a"}, NotBefore: longAgo, NotAfter: yesterday, Usages: clientOnly}), s.ca)
	chmod(t, f.Key, 0o604)
	both := []Pair{{Cert: f.Cert, Key: f.Key}}
	_, err := Load(Found{CA: f.CA, Server: both, Client: both})
	for _, want := range []string{"every user", "expired", "lacks serverAuth"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told: %v", want, err)
		}
	}
}

func TestLoadWarnsWhenAFifthOfTheLifeIsLeft(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	for _, tt := range []struct {
		name string
		left time.Duration // of 100 hours
		warn bool
	}{{"21 %", 21 * time.Hour, false}, {"19 %", 19 * time.Hour, true}} {
		t.Run(tt.name, func(t *testing.T) {
			end := now.Add(tt.left)
			c := s.creds(s.issue(pki.Host{Names: []string{"a"}, NotBefore: end.Add(-100 * time.Hour), NotAfter: end}))
			if got := len(c.Warnings) == 1; got != tt.warn {
				t.Errorf("warnings: %v", c.Warnings)
			}
		})
	}
}

func TestLoadTakesABundleWithAnExpiredCA(t *testing.T) {
	s := newSite(t)
	old, err := pki.NewCA(pki.Authority{Name: "old CA", NotBefore: longAgo, NotAfter: yesterday})
	if err != nil {
		t.Fatal(err)
	}
	f := s.files(s.host("a"), s.ca)
	write(t, f.CA, append(old.CertPEM(), s.ca.CertPEM()...), 0o644)
	c := mustLoad(t, f)
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Problem, "old CA") {
		t.Errorf("warnings: %v", c.Warnings)
	}
	write(t, f.CA, old.CertPEM(), 0o644)
	if _, err := Load(c.Found); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired CA alone: %v", err)
	}
}

func TestLoadTakesIntermediateCAs(t *testing.T) {
	s := newSite(t)
	sub, err := s.ca.Sub(pki.Authority{Name: "sub CA", Algorithm: pki.RSA})
	if err != nil {
		t.Fatal(err)
	}
	p, err := sub.Issue(pki.Host{Names: []string{"a"}, Algorithm: pki.RSA})
	if err != nil {
		t.Fatal(err)
	}
	c := s.creds(p)
	if chain := c.server[0].Certificate; len(chain) != 2 || !bytes.Equal(chain[1], sub.Cert.Raw) {
		t.Errorf("shows %d certificates", len(chain))
	}
	if !bytes.Equal(c.Leaf.Raw, p.Cert.Raw) {
		t.Error("the leaf is another certificate")
	}
	// One that has run out before what it has issued.
	if sub, err = s.ca.Sub(pki.Authority{Name: "old CA", NotBefore: longAgo, NotAfter: yesterday}); err != nil {
		t.Fatal(err)
	}
	if p, err = sub.Issue(pki.Host{Names: []string{"a"}, NotAfter: tomorrow}); err != nil {
		t.Fatal(err)
	}
	found, err := Find(Search{Files: s.files(p, s.ca)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(found); err == nil || !strings.Contains(err.Error(), `the CA above it, "CN=old CA", is out of date: current time`) {
		t.Error(err)
	}
}

func certFile(f Files) string { return f.Cert }
func keyFile(f Files) string  { return f.Key }
func caFile(f Files) string   { return f.CA }

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// cut leaves the first half of a file.
func cut(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
}
