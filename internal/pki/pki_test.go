package pki

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

func newCA(t *testing.T, a Authority) *CA {
	t.Helper()
	ca, err := NewCA(a)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *CA, h Host) *Pair {
	t.Helper()
	p, err := ca.Issue(h)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIssue(t *testing.T) {
	for _, alg := range []Algorithm{"", ECDSA, P384, RSA} {
		t.Run(string(alg), func(t *testing.T) {
			ca := newCA(t, Authority{Algorithm: alg})
			p := issue(t, ca, Host{
				Names: []string{"host-a.example.org", "host-a"}, IPs: []net.IP{net.ParseIP("192.0.2.7")},
				URIs: []string{"spiffe://site/host-a"}, Algorithm: alg,
			})
			roots := x509.NewCertPool()
			roots.AddCert(ca.Cert)
			for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				for _, name := range []string{"host-a.example.org", "host-a", "192.0.2.7"} {
					if _, err := p.Cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
			if len(p.Cert.URIs) != 1 || p.Cert.URIs[0].String() != "spiffe://site/host-a" {
				t.Errorf("URIs: %v", p.Cert.URIs)
			}
			want := x509.KeyUsageDigitalSignature
			if alg == RSA {
				want |= x509.KeyUsageKeyEncipherment
			}
			if p.Cert.KeyUsage != want || p.Cert.IsCA || !p.Cert.BasicConstraintsValid {
				t.Errorf("key usage %b, CA %v", p.Cert.KeyUsage, p.Cert.IsCA)
			}
			if p.Cert.NotAfter.After(ca.Cert.NotAfter) {
				t.Error("it outlives its CA")
			}
		})
	}
}

func TestIssueDoesNotOutliveTheCA(t *testing.T) {
	ca := newCA(t, Authority{NotAfter: time.Now().Add(time.Hour)})
	if p := issue(t, ca, Host{Names: []string{"a"}}); !p.Cert.NotAfter.Equal(ca.Cert.NotAfter) {
		t.Errorf("ends %v, its CA %v", p.Cert.NotAfter, ca.Cert.NotAfter)
	}
}

func TestIssueRefuses(t *testing.T) {
	ca := newCA(t, Authority{})
	for _, h := range []Host{{}, {Names: []string{"a"}, Algorithm: "dsa"}, {URIs: []string{"spiffe://%"}}} {
		if _, err := ca.Issue(h); err == nil {
			t.Errorf("%+v was issued", h)
		}
	}
	if _, err := NewCA(Authority{Algorithm: "dsa"}); err == nil {
		t.Error("a CA with a DSA key")
	}
}

func TestWriteLayoutOverwritesNothing(t *testing.T) {
	ca := newCA(t, Authority{})
	p := issue(t, ca, Host{Names: []string{"a"}})
	set := Set{CA: ca, Server: p, Client: p}
	for _, layout := range []string{LayoutLibvirt, LayoutQEMU} {
		dir := t.TempDir()
		files, err := WriteLayout(dir, layout, set)
		if err != nil || len(files) != 5 {
			t.Fatalf("%v, %v", files, err)
		}
		before := snapshot(t, dir)
		for name, mode := range before.modes {
			want := fs.FileMode(0o644)
			if strings.Contains(name, "key") {
				want = 0o600
			}
			if mode != want {
				t.Errorf("%s has mode %o", name, mode)
			}
		}
		if _, err := WriteLayout(dir, layout, set); err == nil || !strings.Contains(err.Error(), "is there already") {
			t.Errorf("%s: %v", layout, err)
		}
		// One file in the way is enough for nothing to be written.
		for _, f := range files[1:] {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		other := Set{CA: newCA(t, Authority{}), Server: p, Client: p}
		if _, err := WriteLayout(dir, layout, other); err == nil || len(snapshot(t, dir).modes) != 1 {
			t.Errorf("%s: with another CA in the way: %v", layout, err)
		}
		// The same CA is not in the way.
		if files, err := WriteLayout(dir, layout, set); err != nil || len(files) != 4 {
			t.Errorf("%s: with its own CA there: %v, %v", layout, files, err)
		}
		if after := snapshot(t, dir); after.text != before.text {
			t.Errorf("%s: it is not what it was", layout)
		}
	}
	if _, err := WriteLayout(t.TempDir(), "windows", set); err == nil {
		t.Error("an unknown layout was written")
	}
}

func TestWriteLayoutCleansUp(t *testing.T) {
	ca := newCA(t, Authority{})
	p := issue(t, ca, Host{Names: []string{"a"}})
	dir := t.TempDir()
	// A file where a folder has to be.
	if err := os.WriteFile(filepath.Join(dir, "libvirt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteLayout(dir, LayoutLibvirt, Set{CA: ca, Server: p, Client: p}); err == nil {
		t.Fatal("it was written")
	}
	if got := snapshot(t, dir).modes; len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

type tree struct {
	modes map[string]fs.FileMode
	text  string
}

func snapshot(t *testing.T, dir string) tree {
	t.Helper()
	s := tree{modes: make(map[string]fs.FileMode)}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		s.modes[d.Name()] = st.Mode().Perm()
		s.text += path + "\n" + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCAIsKept(t *testing.T) {
	dir := t.TempDir()
	ca := newCA(t, Authority{Name: "kept"})
	if _, err := WriteCA(dir, ca); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteCA(dir, newCA(t, Authority{})); err == nil {
		t.Error("the CA was overwritten")
	}
	again, err := LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := issue(t, again, Host{Names: []string{"a"}})
	if err := p.Cert.CheckSignatureFrom(ca.Cert); err != nil {
		t.Error(err)
	}
	// Another one's key is noticed.
	other := t.TempDir()
	if _, err := WriteCA(other, newCA(t, Authority{})); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other, caKeyFile), filepath.Join(dir, caKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCA(dir); err == nil || !strings.Contains(err.Error(), "is not the key of") {
		t.Errorf("%v", err)
	}
	if _, err := LoadCA(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestSubCA(t *testing.T) {
	root := newCA(t, Authority{Name: "root"})
	mid, err := root.Sub(Authority{Name: "mid"})
	if err != nil {
		t.Fatal(err)
	}
	low, err := mid.Sub(Authority{Name: "low"})
	if err != nil {
		t.Fatal(err)
	}
	p := issue(t, low, Host{Names: []string{"a"}})
	var chain []string
	for _, c := range p.Chain {
		chain = append(chain, c.Subject.CommonName)
	}
	if strings.Join(chain, " ") != "low mid" {
		t.Errorf("chain %v", chain)
	}
}

// TestCertsAgainstCerttool has GnuTLS's own tool verify the chains.
func TestCertsAgainstCerttool(t *testing.T) {
	needs.Program(t, "certtool")
	for _, alg := range []Algorithm{ECDSA, RSA} {
		ca := newCA(t, Authority{Algorithm: alg})
		sub, err := ca.Sub(Authority{Name: "sub", Algorithm: alg})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, from := range map[string]*CA{"ca": ca, "sub": sub} {
			p := issue(t, from, Host{Names: []string{"a.example.org"}, Algorithm: alg})
			bundle, leaf := filepath.Join(dir, "ca.pem"), filepath.Join(dir, name+"-leaf.pem")
			for path, data := range map[string][]byte{bundle: ca.CertPEM(), leaf: p.CertPEM()} {
				if err := os.WriteFile(path, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, purpose := range []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"} {
				out, err := exec.Command("certtool", "--verify", "--load-ca-certificate", bundle, "--infile", leaf,
					"--verify-hostname", "a.example.org", "--verify-purpose", purpose).CombinedOutput()
				if err != nil {
					t.Errorf("%s from %s: %v\n%s", alg, name, err, out)
				}
			}
			if out, err := exec.Command("certtool", "--verify", "--load-ca-certificate", bundle, "--infile", leaf, "--verify-hostname", "b.example.org").CombinedOutput(); err == nil {
				t.Errorf("certtool verifies any name:\n%s", out)
			}
		}
	}
}
