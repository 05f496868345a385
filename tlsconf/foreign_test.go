package tlsconf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// badName is a CA whose name is a PrintableString with an underscore, and a list of its, both as Go
// cannot read them.
func badName(t *testing.T) (ca, list []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := marshalName(t, one(raw(oidCN, asn1.TagPrintableString, "kvm_ca")))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: name, NotBefore: longAgo, NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: longAgo, NextUpdate: tomorrow}, tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: crlKind, Bytes: crl})
}

func TestNamesThatGoCannotRead(t *testing.T) {
	s := newSite(t)
	ca, list := badName(t)
	const words = `CN in its issuer's name, "kvm_ca", is a PrintableString with the character '_'`
	f := withCRL(t, s.files(s.host("a"), s.ca), append(list, s.crl(pki.Revocation{Number: 1})...))
	write(t, f.CA, append(bytes.Clone(ca), s.ca.CertPEM()...), 0o644)
	c := mustLoad(t, f)
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Problem, words) || !strings.Contains(c.Warnings[0].Problem, "nobody can come in") || len(c.crls) != 1 {
		t.Errorf("in a bundle: %v", c.Warnings)
	}
	// Without that CA its list may be anything.
	write(t, f.CA, s.ca.CertPEM(), 0o644)
	if _, err := Load(c.Found); err == nil || !strings.Contains(err.Error(), "revocation list 1 in it (block 1) cannot be parsed") {
		t.Errorf("its list alone: %v", err)
	}
	f = s.files(s.host("a"), s.ca)
	write(t, f.CA, ca, 0o644)
	found, _ := Find(Search{Files: f})
	if _, err := Load(found); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("alone: %v", err)
	}
	f = s.files(s.host("a"), s.ca)
	write(t, f.Cert, ca, 0o644)
	found, _ = Find(Search{Files: f})
	if _, err := Load(found); err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "UTF8String") {
		t.Errorf("a host's: %v", err)
	}
}

func TestNegativeSerialNumbers(t *testing.T) {
	needTool(t, "openssl")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	openssl := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
	}
	openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("ca.key"), "-out", at("ca.pem"), "-subj", "/CN=old CA", "-set_serial", "-7", "-days", "30")
	openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("key.pem"), "-out", at("csr.pem"), "-subj", "/CN=a")
	write(t, at("ext"), []byte("subjectAltName=DNS:a\n"), 0o644)
	openssl("x509", "-req", "-in", at("csr.pem"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-set_serial", "-5", "-days", "20", "-extfile", at("ext"), "-out", at("cert.pem"))
	chmod(t, at("key.pem"), 0o600)
	c := mustLoad(t, Files{CA: at("ca.pem"), Cert: at("cert.pem"), Key: at("key.pem")})
	if len(c.Warnings) > 0 || c.Leaf.SerialNumber.Sign() >= 0 {
		t.Errorf("number %v, %v", c.Leaf.SerialNumber, c.Warnings)
	}
	if _, cerr, serr := shake(t, c.clientConfig(rules(t, "a"), settings{}), c.serverConfig(settings{})); cerr != nil || serr != nil {
		t.Error(cerr, serr)
	}
	if serial(big.NewInt(5)) == serial(big.NewInt(-5)) {
		t.Error("the revocation of 5 would be that of -5")
	}
}

func TestKeysThatGoDoesNotHave(t *testing.T) {
	needTool(t, "openssl")
	for _, tt := range []struct{ algorithm, want string }{{"ED448", "an Ed448 key"}, {"RSA-PSS", "an RSASSA-PSS key"}} {
		s := newSite(t)
		f := s.files(s.host("a"), s.ca)
		if out, err := exec.Command("openssl", "genpkey", "-algorithm", tt.algorithm, "-out", f.Key).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		if _, err := readKey(f.Key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.algorithm, err)
		}
		if out, err := exec.Command("openssl", "req", "-x509", "-key", f.Key, "-subj", "/CN=a", "-out", f.Cert).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		found, err := Find(Search{Files: f})
		if err != nil {
			t.Fatal(err)
		}
		var finding *Finding
		if _, err := Load(found); !errors.As(err, &finding) || finding.File != f.Cert || !strings.Contains(finding.Problem, tt.want) {
			t.Errorf("a certificate of %s: %v", tt.algorithm, err)
		}
	}
}
