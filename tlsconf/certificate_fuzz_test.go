package tlsconf

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
)

// FuzzCertificate: whatever a peer shows as its certificate has names that can be compared and
// shown, or is refused, and each of its names is one for itself.
func FuzzCertificate(f *testing.F) {
	s := newSite(f)
	f.Add(s.host("host-a").Cert.Raw)
	f.Add(s.issue(pki.Host{Names: []string{"host-b.", "192.0.2.1", "2001:db8::1"}, URIs: []string{"spiffe://site/host-b"}}).Cert.Raw)
	f.Add(s.ca.Cert.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		badString(der)
		keyKind(der)
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		keyOID(c)
		Shown(c.Issuer)
		id, err := IdentityOf(c)
		if err != nil {
			return
		}
		if n := len(id.DNS) + len(id.URI) + len(id.IP); n > maxNames {
			t.Errorf("%d names", n)
		}
		for _, name := range append(id.DNS, id.URI...) {
			if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				t.Errorf("the name %q", name)
			}
		}
		if shown := id.String(); len(shown) > 2*maxListed+2*maxDNLen+2*len(der) || strings.ContainsRune(shown, 0) {
			t.Errorf("shown as %q", shown)
		}
		for _, ip := range id.IP {
			if _, ok := rules(t, ip).Match(id); !ok {
				t.Errorf("%s does not match itself", ip)
			}
		}
	})
}

// FuzzCRL: whatever stands in a file as a revocation list is read or refused, and counts for a CA
// only if that has signed it.
func FuzzCRL(f *testing.F) {
	s := newSite(f)
	bad := s.host("bad")
	block, _ := pem.Decode(s.crl(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{bad.Cert}}))
	f.Add(block.Bytes)
	block, _ = pem.Decode(s.crl(pki.Revocation{Number: 2}))
	f.Add(block.Bytes)
	f.Fuzz(func(t *testing.T, der []byte) {
		crlIssuer(der)
		l, err := parseCRL(der)
		if err != nil {
			return
		}
		if len(l.revoked) > len(der) {
			t.Errorf("%d are revoked in %d bytes", len(l.revoked), len(der))
		}
		l.ofAnother([]*x509.Certificate{s.ca.Cert})
		if l.signedBy(s.ca.Cert) == nil && l.name != s.ca.Cert.Subject.String() {
			t.Errorf("a list of %q's that this CA has signed", l.name)
		}
	})
}
