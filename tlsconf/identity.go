package tlsconf

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
)

// Identity is what a certificate calls its holder.
type Identity struct {
	DNS []string `json:"dns,omitempty"` // lower case, without a final dot
	URI []string `json:"uri,omitempty"`
	IP  []string `json:"ip,omitempty"`
	DN  string   `json:"dn,omitempty"` // in the certificate's order, as libvirt prints it: C=GB,O=Red\, Hat,CN=cli
}

// Limits of what a certificate may name.
const (
	maxNames  = 256
	maxURILen = 2048 // bytes; the SPIFFE ID specification's limit
	maxDNSLen = 253  // bytes; RFC 1035, section 2.3.4, without the root's dot
)

// IdentityOf reads the names of a certificate. It fails on one with more names than any host needs,
// with a name that is too long, or with one that holds a NUL, a space or a control character: such
// names are made to be read differently by two programs.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	if cert == nil {
		return Identity{}, errors.New("no certificate")
	}
	if n := len(cert.DNSNames) + len(cert.URIs) + len(cert.IPAddresses) + len(cert.EmailAddresses); n > maxNames {
		return Identity{}, fmt.Errorf("the certificate holds %d names, more than the %d allowed", n, maxNames)
	}
	var id Identity
	for _, name := range cert.DNSNames {
		if err := checkName("DNS name", name, maxDNSLen+1); err != nil {
			return Identity{}, err
		}
		id.DNS = append(id.DNS, normalDNS(name))
	}
	for _, u := range cert.URIs {
		s := u.String()
		if err := checkName("URI", s, maxURILen); err != nil {
			return Identity{}, err
		}
		id.URI = append(id.URI, s)
	}
	for _, ip := range cert.IPAddresses {
		id.IP = append(id.IP, ip.String())
	}
	dn, err := formatDN(cert.RawSubject)
	if err != nil {
		return Identity{}, err
	}
	id.DN = dn
	return id, nil
}

func checkName(kind, name string, limit int) error {
	if len(name) > limit {
		return fmt.Errorf("the certificate holds a %s of %d bytes, more than the %d allowed", kind, len(name), limit)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("the certificate holds the %s %q, in which the byte %#02x is not allowed", kind, name, c)
		}
	}
	return nil
}

// normalDNS is the form in which two DNS names are compared.
func normalDNS(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Bounds of what is shown of names, in bytes. A certificate that nobody vouches for may hold any.
const (
	maxShown  = 256
	maxListed = 1024 // of several
)

// Shown is a name for a person, cut where it is too long for a line of a log.
func Shown(n pkix.Name) string {
	s := n.String()
	if s == "" {
		return "an empty name"
	}
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

// String lists the names for a person; of very many the first, and how many there are.
func (id Identity) String() string {
	var parts []string
	size, left := 0, 0
	add := func(kind string, names []string) {
		for _, n := range names {
			if size += len(n); size > maxListed {
				left++
				continue
			}
			parts = append(parts, kind+":"+n)
		}
	}
	add("DNS", id.DNS)
	add("URI", id.URI)
	add("IP", id.IP)
	if left > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", left))
	}
	if id.DN != "" {
		parts = append(parts, "DN:"+id.DN)
	}
	if len(parts) == 0 {
		return "no name at all"
	}
	return strings.Join(parts, ", ")
}
