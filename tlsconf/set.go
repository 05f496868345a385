package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// X509Set is credentials that do not come from files, as a SPIFFE Workload API hands them out.
type X509Set struct {
	Layout string              // what kind of source it is: "spiffe"
	Origin string              // where they come from, for a person
	Chain  []*x509.Certificate // this host's certificate, then the CAs between
	Key    crypto.Signer

	// Domains are the CAs of each SPIFFE trust domain, by its name. A domain's CAs vouch for names
	// in that domain alone, and peers must hold exactly one SPIFFE ID.
	Domains map[string][]*x509.Certificate
}

// FromSet makes credentials of a set, with the checks that Load makes where they apply.
func FromSet(set X509Set) (*Credentials, error) {
	if len(set.Chain) == 0 || set.Key == nil || len(set.Domains) == 0 {
		return nil, fmt.Errorf("%s: a certificate, its key or all CAs are missing", set.Origin)
	}
	l := loader{now: time.Now(), creds: &Credentials{
		Found:   Found{Layout: set.Layout, CA: set.Origin, Why: set.Origin},
		Leaf:    set.Chain[0],
		pool:    x509.NewCertPool(),
		domains: make(map[string]*x509.CertPool),
	}}
	c := l.creds
	for _, name := range slices.Sorted(maps.Keys(set.Domains)) {
		pool := x509.NewCertPool()
		for _, ca := range set.Domains[name] {
			pool.AddCert(ca)
			c.pool.AddCert(ca)
			c.CAs = append(c.CAs, ca)
		}
		c.domains[strings.ToLower(name)] = pool
	}
	if f := checkDates(set.Origin, "the certificate", c.Leaf, l.now); f != nil && f.Severity == Error {
		l.add(f) // short lives are usual here, and renewed in time: no warning
	}
	if pub, err := x509.MarshalPKIXPublicKey(set.Key.Public()); err != nil || !bytes.Equal(pub, c.Leaf.RawSubjectPublicKeyInfo) {
		l.add(problem(set.Origin, "look at the source's log", "the key is not the certificate's"))
	}
	l.maybe(checkUsage(set.Origin, c.Leaf, x509.ExtKeyUsageServerAuth))
	l.maybe(checkUsage(set.Origin, c.Leaf, x509.ExtKeyUsageClientAuth))
	roots, err := c.rootsFor(c.Leaf)
	if err != nil {
		l.add(problem(set.Origin, "look at the source's log", "this host's certificate: %v", err))
	} else {
		for _, role := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			l.maybe(checkChain(set.Origin, set.Chain, c.CAs, roots, set.Origin, role, l.now))
		}
	}
	if _, err := IdentityOf(c.Leaf); err != nil {
		l.add(problem(set.Origin, "look at the source's log", "%v", err))
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	t := tls.Certificate{PrivateKey: set.Key, Leaf: c.Leaf}
	for _, cert := range set.Chain {
		t.Certificate = append(t.Certificate, cert.Raw)
	}
	c.server, c.client = []tls.Certificate{t}, []tls.Certificate{t}
	return c, nil
}

// Same tells whether two sets of X509Sets hold the same certificate and, for the same domains, the
// same CAs.
func (c *Credentials) Same(other *Credentials) bool {
	return slices.EqualFunc(c.server[0].Certificate, other.server[0].Certificate, bytes.Equal) && maps.EqualFunc(c.domains, other.domains, (*x509.CertPool).Equal)
}
