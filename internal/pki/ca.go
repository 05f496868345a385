package pki

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Algorithm is the kind of a new key.
type Algorithm string

const (
	ECDSA Algorithm = "ecdsa"      // P-256; the default
	P384  Algorithm = "ecdsa-p384" // for sites with Suite B's 192 bits
	RSA   Algorithm = "rsa"        // 3072 bits

	// Ed25519 is for tests: GnuTLS before 3.6 has none.
	Ed25519 Algorithm = "ed25519"
)

// backdate is how far before now a certificate starts by default, so that a
// host whose clock is a little slow does not take it for one from the future.
const backdate = 5 * time.Minute

// Authority says what a new CA shall be. The zero value is usable.
type Authority struct {
	Name      string    // common name; "sluice CA" if empty
	Algorithm Algorithm // ECDSA if empty
	NotBefore time.Time // five minutes ago if zero
	NotAfter  time.Time // ten years from now if zero

	KeyUsage x509.KeyUsage      // signing of certificates and of revocation lists if zero
	Usages   []x509.ExtKeyUsage // not in the certificate if nil
}

// CA is a certificate and the key that signs with it.
type CA struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	// Above are the CAs between this one and its root, this one's issuer first, without the
	// root; empty for a root. Issue puts them, and this CA, into the chain of what it issues.
	Above []*x509.Certificate
}

// NewCA makes a self-signed CA.
func NewCA(a Authority) (*CA, error) {
	key, err := newKey(a.Algorithm)
	if err != nil {
		return nil, err
	}
	tmpl, err := a.template()
	if err != nil {
		return nil, err
	}
	cert, err := sign(tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA certificate %q: %w", tmpl.Subject.CommonName, err)
	}
	return &CA{Cert: cert, Key: key}, nil
}

// Sub makes a CA below this one.
func (ca *CA) Sub(a Authority) (*CA, error) {
	key, err := newKey(a.Algorithm)
	if err != nil {
		return nil, err
	}
	tmpl, err := a.template()
	if err != nil {
		return nil, err
	}
	cert, err := sign(tmpl, ca.Cert, key.Public(), ca.Key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA certificate %q: %w", tmpl.Subject.CommonName, err)
	}
	return &CA{Cert: cert, Key: key, Above: ca.chain()}, nil
}

// CertPEM is the CA's own certificate.
func (ca *CA) CertPEM() []byte { return certPEM(ca.Cert) }

// chain is what a certificate issued here is followed by in its file.
func (ca *CA) chain() []*x509.Certificate {
	if ca.isRoot() {
		return nil
	}
	return append([]*x509.Certificate{ca.Cert}, ca.Above...)
}

func (ca *CA) isRoot() bool { return ca.Cert.CheckSignatureFrom(ca.Cert) == nil }

func (a Authority) template() (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	name := a.Name
	if name == "" {
		name = "sluice CA"
	}
	notBefore, notAfter := a.NotBefore, a.NotAfter
	if notBefore.IsZero() {
		notBefore = time.Now().Add(-backdate)
	}
	if notAfter.IsZero() {
		notAfter = time.Now().AddDate(10, 0, 0)
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              cmp.Or(a.KeyUsage, x509.KeyUsageCertSign|x509.KeyUsageCRLSign),
		ExtKeyUsage:           a.Usages,
	}, nil
}

func newKey(a Algorithm) (crypto.Signer, error) {
	switch a {
	case "", ECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA:
		return rsa.GenerateKey(rand.Reader, 3072)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("key algorithm %q is not known: use %q, %q or %q", a, ECDSA, P384, RSA)
}

// newSerial draws 127 bits: positive, and within the 20 octets of RFC 5280, section 4.1.2.2.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func sign(tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func certPEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
