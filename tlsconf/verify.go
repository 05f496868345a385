package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"time"
)

// maxPeerChain is how many certificates a peer may send. crypto/tls reads 256 KiB of them at most,
// and crypto/x509 tries 100 signatures at most.
const maxPeerChain = 10

// verify is every check of a peer but that of its names: chain, dates, role, revocation, policy.
// crypto/tls has checked a client's chain by then, and a server's not.
func (c *Credentials) verify(cs tls.ConnectionState, role x509.ExtKeyUsage, opts settings) error {
	if len(cs.PeerCertificates) == 0 {
		return &ChainError{Err: errNoPeerCertificate}
	}
	leaf := cs.PeerCertificates[0]
	if len(cs.PeerCertificates) > maxPeerChain {
		return &ChainError{Leaf: leaf, Err: errLongChain}
	}
	at := now(opts.Time)
	chains := cs.VerifiedChains
	if len(chains) == 0 || c.domains != nil {
		roots, err := c.rootsFor(leaf)
		if err != nil {
			return &ChainError{Leaf: leaf, Err: err}
		}
		chains, err = leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: poolOf(cs.PeerCertificates[1:]), CurrentTime: at,
			KeyUsages: []x509.ExtKeyUsage{role},
		})
		if err != nil {
			return c.chainError(cs.PeerCertificates, role, at, err)
		}
	}
	// There may be several chains while a CA is being changed; one that is good is enough.
	var first error
	for _, chain := range chains {
		err := c.verifyChain(cs, chain, at, opts.Policy)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// chainError is what crypto/x509 says of a peer's certificates, in better words where there are.
func (c *Credentials) chainError(certs []*x509.Certificate, role x509.ExtKeyUsage, at time.Time, err error) *ChainError {
	return &ChainError{Leaf: certs[0], Err: err, fault: diagnose(err, certs[0], certs[1:], c.CAs, role, at)}
}

func (c *Credentials) verifyChain(cs tls.ConnectionState, chain []*x509.Certificate, at time.Time, p *Policy) error {
	if p == nil || !p.noCRL {
		if err := c.checkRevoked(chain, at); err != nil {
			return err
		}
	}
	if p == nil {
		return nil
	}
	return p.verify(cs, chain)
}

var errDomain = errors.New("its SPIFFE trust domain is not one that this host has the CAs of")

// rootsFor gives the CAs that may have issued a certificate. With SPIFFE a trust domain's CAs vouch
// for that domain's names alone (SPIFFE X509-SVID, section 5).
func (c *Credentials) rootsFor(leaf *x509.Certificate) (*x509.CertPool, error) {
	if c.domains == nil {
		return c.pool, nil
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].Scheme != "spiffe" {
		return nil, errors.New("it does not hold exactly one SPIFFE ID")
	}
	roots, ok := c.domains[strings.ToLower(leaf.URIs[0].Host)]
	if !ok {
		return nil, errDomain
	}
	return roots, nil
}

// ownChain is the chain that peers see of one of this host's certificates, up to a CA that this
// host trusts.
func (c *Credentials) ownChain(t tls.Certificate) ([]*x509.Certificate, error) {
	var between []*x509.Certificate
	for _, der := range t.Certificate[1:] {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		between = append(between, ca)
	}
	chains, err := t.Leaf.Verify(x509.VerifyOptions{
		Roots: c.pool, Intermediates: poolOf(between), CurrentTime: t.Leaf.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}
