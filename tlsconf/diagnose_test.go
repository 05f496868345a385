package tlsconf

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
)

// made is a certificate that pki does not make, and what it may need of CAs.
type made struct {
	ca   []byte // PEM
	cert tls.Certificate
}

// openssl makes a CA and a certificate of "peer" with a key of its own kind, and the options of
// either.
func openssl(t *testing.T, ca, leaf []string, extensions string) made {
	t.Helper()
	needTool(t, "openssl")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
	}
	run(append([]string{"req", "-x509", "-nodes", "-keyout", at("ca.key"), "-out", at("ca.pem"), "-subj", "/CN=made CA", "-days", "30"}, ca...)...)
	run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", at("key.pem"), "-out", at("csr.pem"), "-subj", "/CN=peer")
	write(t, at("ext"), []byte("subjectAltName=DNS:peer\n"+extensions), 0o644)
	run(append([]string{"x509", "-req", "-in", at("csr.pem"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-days", "20", "-set_serial", "9", "-extfile", at("ext"), "-out", at("cert.pem")}, leaf...)...)
	cert, err := tls.LoadX509KeyPair(at("cert.pem"), at("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(at("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return made{data, cert}
}

// TestChainFaultsAreToldApart shows this host certificates of CAs that it has, with which something
// is wrong, in either role, and has the same certificates as its own.
func TestChainFaultsAreToldApart(t *testing.T) {
	s := newSite(t)
	of := func(ca *pki.CA, h pki.Host) made {
		t.Helper()
		if h.Names == nil {
			h.Names = []string{"peer"}
		}
		p, err := ca.Issue(h)
		if err != nil {
			t.Fatal(err)
		}
		top := ca
		if len(p.Chain) > 0 {
			top = s.ca
		}
		return made{top.CertPEM(), p.TLS()}
	}
	authority := func(a pki.Authority) *pki.CA {
		t.Helper()
		ca, err := pki.NewCA(a)
		if err != nil {
			t.Fatal(err)
		}
		return ca
	}
	// A certificate's critical extension of nobody's.
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}
	serverCA := authority(pki.Authority{Name: "web CA", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	bounded := raised(t, s.ca, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.org"}
	})
	short := raised(t, s.ca, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	below, err := short.Sub(pki.Authority{Name: "sub CA"})
	if err != nil {
		t.Fatal(err)
	}
	noSigning := raised(t, s.ca, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	renewed := authority(pki.Authority{Name: "test CA"})
	withOld := of(s.ca, pki.Host{})
	withOld.ca = renewed.CertPEM()
	rsaCA := []string{"-newkey", "rsa:2048"}
	for _, tt := range []struct {
		name   string
		made   made
		cause  Cause
		want   string
		remedy string
	}{
		{"SHA-1", openssl(t, rsaCA, []string{"-sha1"}, ""), CauseBadCert, "it is signed with SHA1-RSA, which can be forged", "SHA-256"},
		{"MD5", openssl(t, rsaCA, []string{"-md5"}, ""), CauseBadCert, "it is signed with MD5-RSA, which can be forged", "SHA-256"},
		{"Ed448", openssl(t, []string{"-newkey", "ed448"}, nil, ""), CauseBadCert, `it is signed by "CN=made CA" with an Ed448 key, which Go does not have`, "ECDSA"},
		{"path length", of(below, pki.Host{}), CauseBadCert, `has more CAs above it than the CA "CN=test CA" allows: its path length (pathlen) is 0`, "longer path length"},
		{"name constraints", of(bounded, pki.Host{}), CauseBadCert, "has a name that the name constraints of a CA above it do not allow", "names that the CA may vouch for"},
		{"unknown extension", of(s.ca, pki.Host{Extra: []pkix.Extension{unknown}}), CauseBadCert, "it has the critical extension 1.3.6.1.4.1.99999.1, which Go does not know", "not critical"},
		{"CA that may not sign", of(noSigning, pki.Host{}), CauseBadCert, `the CA "CN=test CA" may not issue certificates: its key usage`, "keyCertSign"},
		{"CA for servers alone", of(serverCA, pki.Host{}), CauseUsage, `the extended key usage of the CA above it, "CN=web CA", lacks clientAuth`, "without an extended key usage"},
		{"CA with a new key", withOld, CauseWrongCA, `the CA of that name here has another key`, "both of its certificates"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := s.files(s.host("here"), s.ca)
			write(t, f.CA, append(s.ca.CertPEM(), tt.made.ca...), 0o644)
			if tt.name == "CA with a new key" {
				f = (&site{t, renewed}).files((&site{t, renewed}).host("here"), renewed)
			}
			// These have the site's CA in another form.
			if ca := map[string]*pki.CA{"path length": short, "name constraints": bounded, "CA that may not sign": noSigning}[tt.name]; ca != nil {
				own := authority(pki.Authority{Name: "own CA"})
				f = (&site{t, own}).files((&site{t, own}).host("here"), own)
				write(t, f.CA, append(own.CertPEM(), ca.CertPEM()...), 0o644)
			}
			here := mustLoad(t, f)
			check := func(role string, err error) {
				t.Helper()
				var he *HandshakeError
				if !errors.As(err, &he) || he.Cause != tt.cause || he.Side != Here || !strings.Contains(he.What, tt.want) || !strings.Contains(he.Remedy, tt.remedy) {
					t.Errorf("%s: %v", role, err)
				}
			}
			ln := listen(t)
			go func() {
				raw, err := ln.Accept()
				if err == nil {
					tls.Client(raw, &tls.Config{Certificates: []tls.Certificate{tt.made.cert}, InsecureSkipVerify: true}).Handshake()
				}
			}()
			_, _, err := Accept(t.Context(), engine{}, dialed(t, ln), Server{Credentials: here, Authorize: func(*Peer) error { return nil }})
			check("as a client", err)
			if tt.cause != CauseUsage {
				ln = listen(t)
				go func() {
					raw, err := ln.Accept()
					if err == nil {
						tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{tt.made.cert}}).Handshake()
					}
				}()
				_, _, err = Connect(t.Context(), engine{}, dialed(t, ln), Client{Credentials: here, Expect: rules(t, "peer")})
				check("as a server", err)
			}
			// The same as a host's own.
			var cert []byte
			for _, der := range tt.made.cert.Certificate {
				cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
			}
			key, err := x509.MarshalPKCS8PrivateKey(tt.made.cert.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			write(t, f.Cert, cert, 0o644)
			write(t, f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
			found, err := Find(Search{Files: f})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(found)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.remedy) {
				t.Errorf("as this host's own: %v", err)
			}
		})
	}
}

// raised is the CA with its certificate changed.
func raised(t *testing.T, ca *pki.CA, change func(*x509.Certificate)) *pki.CA {
	t.Helper()
	c := *ca.Cert
	c.SerialNumber = big.NewInt(77)
	change(&c)
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, ca.Key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pki.CA{Cert: cert, Key: ca.Key}
}

func TestCAOfVersion1(t *testing.T) {
	needTool(t, "openssl")
	s := newSite(t)
	f := s.files(s.host("here"), s.ca)
	dir := t.TempDir()
	for _, args := range [][]string{
		{"req", "-newkey", "rsa:2048", "-nodes", "-keyout", dir + "/key", "-out", dir + "/csr", "-subj", "/CN=v1 CA"},
		{"x509", "-req", "-in", dir + "/csr", "-signkey", dir + "/key", "-days", "9", "-out", f.CA},
	} {
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	found, err := Find(Search{Files: f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(found); err == nil || !strings.Contains(err.Error(), "is of X.509 version 1") {
		t.Errorf("%v", err)
	}
}
