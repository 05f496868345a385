package tlsconf

import (
	"crypto/x509"
	"time"
)

// Expiry is when one of the certificates in use ends.
type Expiry struct {
	What     string        `json:"what"` // "server", "client" or "ca"
	Subject  string        `json:"subject"`
	NotAfter time.Time     `json:"not_after"`
	Left     time.Duration `json:"-"`
	Seconds  int64         `json:"seconds_left"` // negative once it has ended
	Warn     bool          `json:"warn"`         // a fifth of its life is left, or less
}

// Expiries tells for every certificate in use when it ends, those of the CA file included.
func (c *Credentials) Expiries(now time.Time) []Expiry {
	var out []Expiry
	add := func(what string, cert *x509.Certificate) {
		left := cert.NotAfter.Sub(now)
		out = append(out, Expiry{
			What: what, Subject: cert.Subject.String(), NotAfter: cert.NotAfter,
			Left: left, Seconds: int64(left / time.Second), Warn: nearEnd(cert, now),
		})
	}
	for _, t := range c.server {
		add("server", t.Leaf)
	}
	for _, t := range c.client {
		if !t.Leaf.Equal(c.Leaf) {
			add("client", t.Leaf)
		}
	}
	for _, ca := range c.CAs {
		add("ca", ca)
	}
	return out
}

// nearEnd is true from 20 % of the certificate's life on.
func nearEnd(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) <= cert.NotAfter.Sub(cert.NotBefore)/5
}
