package pki

import (
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Host says what a certificate shall hold. Everything empty takes the value
// that makes a certificate good for both roles, client and server.
type Host struct {
	Names []string // DNS names; the first is also the common name, and the CA's name the organization, unless Subject is set
	IPs   []net.IP
	URIs  []string // for example a SPIFFE ID

	Subject    *pkix.Name
	RawSubject []byte    // DER of a Name, in place of Subject
	Algorithm  Algorithm // ECDSA if empty
	NotBefore  time.Time // five minutes ago if zero
	NotAfter   time.Time // one year from now if zero, but not beyond the CA's end

	Usages   []x509.ExtKeyUsage // client and server if nil; not in the certificate at all if empty but not nil
	KeyUsage x509.KeyUsage      // by the key's algorithm if zero

	Extra []pkix.Extension // put in as they are, in place of those made here
}

// Pair is a certificate, the CAs above it without the root, and its key.
type Pair struct {
	Cert  *x509.Certificate
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// oidKeyUsage is id-ce-keyUsage, RFC 5280, section 4.2.1.3.
var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

// Issue makes a key and a certificate for it.
//
// An RSA certificate gets the critical key usage digitalSignature and keyEncipherment. RFC 8813
// forbids keyEncipherment with an EC key (and RFC 8410 with an Ed25519 one), while libvirt before
// 11.0 and QEMU before 9.2 refuse a certificate whose critical key usage lacks it; so with these
// the extension is not critical, and then those versions log a warning and go on.
func (ca *CA) Issue(h Host) (*Pair, error) {
	if len(h.Names)+len(h.IPs)+len(h.URIs) == 0 && h.Subject == nil {
		return nil, errors.New("a host certificate needs at least one name, IP address or URI")
	}
	key, err := newKey(h.Algorithm)
	if err != nil {
		return nil, err
	}
	tmpl, err := h.template(ca, key)
	if err != nil {
		return nil, err
	}
	cert, err := sign(tmpl, ca.Cert, key.Public(), ca.Key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %q: %w", tmpl.Subject.CommonName, err)
	}
	return &Pair{Cert: cert, Chain: ca.chain(), Key: key}, nil
}

func (h Host) template(ca *CA, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		DNSNames:              h.Names,
		IPAddresses:           h.IPs,
		NotBefore:             h.NotBefore,
		NotAfter:              h.NotAfter,
		BasicConstraintsValid: true,
		ExtKeyUsage:           h.Usages,
		ExtraExtensions:       h.Extra,
	}
	for _, s := range h.URIs {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("URI %q: %w", s, err)
		}
		tmpl.URIs = append(tmpl.URIs, u)
	}
	// virt-pki-validate (libvirt 9.0) wants the host's O to be the CA's CN.
	if ca.Cert.Subject.CommonName != "" {
		tmpl.Subject.Organization = []string{ca.Cert.Subject.CommonName}
	}
	switch {
	case h.Subject != nil:
		tmpl.Subject = *h.Subject
	case len(h.Names) > 0:
		tmpl.Subject.CommonName = h.Names[0]
	case len(h.IPs) > 0:
		tmpl.Subject.CommonName = h.IPs[0].String()
	}
	tmpl.RawSubject = h.RawSubject
	if h.NotBefore.IsZero() {
		tmpl.NotBefore = time.Now().Add(-backdate)
	}
	if h.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().AddDate(1, 0, 0)
		if ca.Cert.NotAfter.Before(tmpl.NotAfter) {
			tmpl.NotAfter = ca.Cert.NotAfter
		}
	}
	if h.Usages == nil {
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	tmpl.KeyUsage = h.KeyUsage
	if h.KeyUsage == 0 {
		tmpl.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
		if _, ok := key.(*rsa.PrivateKey); !ok {
			tmpl.KeyUsage = 0
			// The bit string 1: digitalSignature alone.
			tmpl.ExtraExtensions = append([]pkix.Extension{{Id: oidKeyUsage, Value: []byte{0x03, 0x02, 0x07, 0x80}}}, h.Extra...)
		}
	}
	return tmpl, nil
}

// CertPEM is the certificate followed by the CAs above it.
func (p *Pair) CertPEM() []byte {
	return certPEM(append([]*x509.Certificate{p.Cert}, p.Chain...)...)
}

// KeyPEM is the key in PKCS #8.
func (p *Pair) KeyPEM() ([]byte, error) { return keyPEM(p.Key) }

// TLS is the pair as crypto/tls takes it.
func (p *Pair) TLS() tls.Certificate {
	t := tls.Certificate{Certificate: [][]byte{p.Cert.Raw}, PrivateKey: p.Key, Leaf: p.Cert}
	for _, c := range p.Chain {
		t.Certificate = append(t.Certificate, c.Raw)
	}
	return t
}
