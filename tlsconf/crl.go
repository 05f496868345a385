package tlsconf

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// maxCRLFile is the size of the largest CRL file that is read, in bytes: some 300,000 entries.
const maxCRLFile = 16 << 20

// crl is one revocation list.
type crl struct {
	file       string
	n          int    // which of the file's, from 1
	issuer     []byte // DER
	name       string // the issuer, for a person
	keyID      []byte // of the issuer's key; nil if it has none
	thisUpdate time.Time
	nextUpdate time.Time
	revoked    map[string]time.Time // by serial number

	// unproved is set where the CA file has no CA of the issuer's name, so that the signature is
	// looked at when a chain has one.
	unproved *unprovedCRL
}

// oidDeltaCRL is id-ce-deltaCRLIndicator, RFC 5280, section 5.2.4.
var oidDeltaCRL = asn1.ObjectIdentifier{2, 5, 29, 27}

// clockSkew is how far ahead of this host's clock a list may be dated.
const clockSkew = time.Hour

// loadCRL reads the lists, of which a file may hold several; of one CA's the newest counts. Every
// one must be readable: what is passed over would let in those whom it names. One that has run out
// is told, with the severity of an error, and loaded all the same. It makes each handshake with
// that CA's peers fail with a *StaleError, unless Found.StaleCRL says otherwise. GnuTLS lets peers
// in under such a list; what was revoked since is not known, though.
func (l *loader) loadCRL(path string) {
	if path == "" {
		return
	}
	data, err := readFileLimit(path, maxCRLFile)
	if err != nil {
		l.add(err)
		return
	}
	blocks, err := readPEM(path, data, crlKind)
	if err != nil {
		l.add(err)
		return
	}
	n := 0
	for _, b := range blocks {
		if b.kind != crlKind {
			continue
		}
		n++
		list, err := parseCRL(b.der)
		if err == nil {
			l.addCRL(path, n, list)
			continue
		}
		if issuer := crlIssuer(b.der); slices.ContainsFunc(l.lost, func(ca []byte) bool { return bytes.Equal(ca, issuer) }) {
			continue // of a CA that is not used, so that nobody can come in whom it vouches for; that has been told
		}
		l.add(problem(path, "fetch it from the CA again", "revocation list %d in it (block %d) cannot be parsed: %v", n, b.n, err))
	}
	if n == 0 {
		l.add(notPEM(path, data, "revocation list", crlKind))
	}
	for _, c := range l.creds.crls {
		if !c.stale(l.now) {
			continue
		}
		f := problem(path, "fetch it from the CA again; until then its peers are refused (certificates.stale_crl)",
			"the revocation list of %q ran out on %s", c.name, stamp(c.nextUpdate))
		if l.creds.Found.StaleCRL {
			f.Severity, f.Remedy = Warning, "fetch it from the CA again; until then those that were revoked since are let in (certificates.stale_crl)"
		}
		l.creds.Warnings = append(l.creds.Warnings, *f)
	}
}

func (l *loader) addCRL(path string, n int, list *revocationList) {
	var signer *x509.Certificate
	named := false
	for _, ca := range l.creds.CAs {
		if !bytes.Equal(ca.RawSubject, list.issuer) {
			continue
		}
		named = true
		if list.signedBy(ca) == nil {
			signer = ca
			break
		}
	}
	// A list that is damaged where the name stands must not pass for that of a CA that nobody
	// knows.
	if signer == nil && (named || !list.ofAnother(l.creds.CAs)) {
		l.add(problem(path, "fetch it from the CA again, or put its CA into "+l.creds.Found.CA,
			"revocation list %d in it, of %q, is not signed by a CA in %s: it is damaged, or that of another CA", n, list.name, l.creds.Found.CA))
		return
	}
	if ahead := list.thisUpdate.Sub(l.now); ahead > 0 {
		f := problem(path, "set this host's clock right", "revocation list %d in it is of %s, and this host's clock says %s", n, stamp(list.thisUpdate), stamp(l.now))
		if ahead <= clockSkew {
			f.Severity = Warning
		}
		l.add(f)
		if ahead > clockSkew {
			return
		}
	}
	if list.delta {
		l.add(problem(path, "fetch the CA's whole list", "revocation list %d in it, of %q, is a delta: it has only what has changed since another one", n, list.name))
		return
	}
	c := crl{file: path, n: n, issuer: list.issuer, name: list.name, thisUpdate: list.thisUpdate, nextUpdate: list.nextUpdate, revoked: list.revoked}
	if signer == nil {
		l.add(warning(path, "put that CA into "+l.creds.Found.CA+", unless peers send its certificate",
			"revocation list %d in it is of %q, which is not in %s: its signature can be checked only when a peer's chain has that CA", n, list.name, l.creds.Found.CA))
		c.unproved = &unprovedCRL{list: list}
		l.creds.crls = append(l.creds.crls, c)
		return
	}
	c.keyID = signer.SubjectKeyId
	if !mayRevoke(signer) {
		l.add(warning(l.creds.Found.CA, "have it issued again with the key usage cRLSign as well",
			"the key usage of the CA %q does not allow signing revocation lists; its list is taken all the same, as libvirt takes it", list.name))
	}
	for i, have := range l.creds.crls {
		if have.unproved == nil && bytes.Equal(have.issuer, c.issuer) && bytes.Equal(have.keyID, c.keyID) {
			if c.thisUpdate.After(have.thisUpdate) {
				l.creds.crls[i] = c
			}
			return
		}
	}
	l.creds.crls = append(l.creds.crls, c)
}

// mayRevoke is RFC 5280's condition (section 4.2.1.3). libvirt's own template for a CA does not
// meet it.
func mayRevoke(ca *x509.Certificate) bool {
	return ca.KeyUsage == 0 || ca.KeyUsage&x509.KeyUsageCRLSign != 0
}

// serial is a key for a map: a number may be negative.
func serial(n *big.Int) string { return n.String() }

// stale is false for a list without an end.
func (c crl) stale(now time.Time) bool { return !c.nextUpdate.IsZero() && now.After(c.nextUpdate) }

// covers tells whether the list speaks for certificates that issuer has issued. Two CAs may have
// one name and different keys.
func (c crl) covers(issuer *x509.Certificate) bool {
	return bytes.Equal(c.issuer, issuer.RawSubject) && (len(c.keyID) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(c.keyID, issuer.SubjectKeyId))
}

// covering are the lists that speak for certificates that issuer has issued.
func (c *Credentials) covering(issuer *x509.Certificate) ([]crl, error) {
	var all []crl
	newest := -1 // of those whose CA was not known when they were loaded
	for _, list := range c.crls {
		if !list.covers(issuer) {
			continue
		}
		if list.unproved != nil {
			if err := list.unproved.signedBy(issuer); err != nil {
				return nil, &UnprovedError{File: list.file, N: list.n, Issuer: list.name, Err: err}
			}
			if newest >= 0 {
				if list.thisUpdate.After(all[newest].thisUpdate) {
					all[newest] = list
				}
				continue
			}
			newest = len(all)
		}
		all = append(all, list)
	}
	return all, nil
}

// checkRevoked looks every certificate of a chain up but the trusted one. Being revoked counts
// before the list's age.
func (c *Credentials) checkRevoked(chain []*x509.Certificate, now time.Time) error {
	var stale error
	for i := range len(chain) - 1 {
		lists, err := c.covering(chain[i+1])
		if err != nil {
			return err
		}
		for _, list := range lists {
			if at, ok := list.revoked[serial(chain[i].SerialNumber)]; ok {
				return &RevokedError{Cert: chain[i], File: list.file, At: at}
			}
			if stale == nil && !c.Found.StaleCRL && list.stale(now) {
				stale = &StaleError{File: list.file, Issuer: list.name, NextUpdate: list.nextUpdate}
			}
		}
	}
	return stale
}
