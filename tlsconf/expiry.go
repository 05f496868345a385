package tlsconf

import (
	"cmp"
	"crypto/x509"
	"time"
)

// Expiry is when one of the certificates in use ends.
type Expiry struct {
	What     string        `json:"what"` // "server", "client" or "ca"
	File     string        `json:"file"` // or the Workload API that it is from
	Subject  string        `json:"subject"`
	NotAfter time.Time     `json:"not_after"`
	Left     time.Duration `json:"-"`
	Seconds  int64         `json:"seconds_left"` // negative once it has ended
	Warn     bool          `json:"warn"`         // it ends soon: see nearEnd
}

// Expiries tells for every certificate in use when it ends, those of the CA file included.
func (c *Credentials) Expiries(now time.Time) []Expiry {
	var out []Expiry
	add := func(what, file string, cert *x509.Certificate) {
		left := cert.NotAfter.Sub(now)
		out = append(out, Expiry{
			What: what, File: file, Subject: cert.Subject.String(), NotAfter: cert.NotAfter,
			Left: left, Seconds: int64(left / time.Second), Warn: nearEnd(cert, now),
		})
	}
	for _, t := range c.server {
		add("server", c.File(t.Leaf), t.Leaf)
	}
	for _, t := range c.client {
		if !t.Leaf.Equal(c.Leaf) {
			add("client", c.File(t.Leaf), t.Leaf)
		}
	}
	for _, ca := range c.CAs {
		add("ca", c.Found.CA, ca)
	}
	return out
}

// File is the file that one of Leaves was read from, or the Workload API that it is from.
func (c *Credentials) File(leaf *x509.Certificate) string {
	return cmp.Or(c.files[leaf], c.Found.CA) // the latter names a Workload API
}

// ListExpiry is when one of the revocation lists in use runs out.
type ListExpiry struct {
	File       string
	Issuer     string
	NextUpdate time.Time
}

// ListExpiries tells for every revocation list in use when it runs out, but for those without an
// end.
func (c *Credentials) ListExpiries() []ListExpiry {
	var out []ListExpiry
	for _, l := range c.crls {
		if !l.nextUpdate.IsZero() {
			out = append(out, ListExpiry{File: l.file, Issuer: l.name, NextUpdate: l.nextUpdate})
		}
	}
	return out
}

// soon is how long before its end a certificate is warned of at most: a fifth of a CA's life may be
// ten years.
const soon = 365 * 24 * time.Hour

// nearEnd is true once a fifth of the certificate's life is left, or a year if that is less.
func nearEnd(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) <= min(cert.NotAfter.Sub(cert.NotBefore)/5, soon)
}
