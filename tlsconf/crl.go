package tlsconf

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"time"
)

// maxCRLFile is the size of the largest CRL file that is read, in bytes: some 300,000 entries.
const maxCRLFile = 16 << 20

// crl is one revocation list, whose signature has been checked.
type crl struct {
	file       string
	issuer     []byte // DER
	name       string // the issuer, for a person
	keyID      []byte // of the issuer's key; nil if it has none
	thisUpdate time.Time
	nextUpdate time.Time
	revoked    map[string]time.Time // by serial number, as big.Int's Bytes
}

// oidDeltaCRL is id-ce-deltaCRLIndicator, RFC 5280, section 5.2.4.
var oidDeltaCRL = asn1.ObjectIdentifier{2, 5, 29, 27}

// loadCRL reads the lists, of which a file may hold several; of one CA's the newest counts. One that no CA in the CA file has signed, or that
// comes from the future, is an error. One that has run out is told, with the severity of an error, and loaded
// all the same: it makes each handshake with that CA's peers fail with a *StaleError, as GnuTLS does.
func (l *loader) loadCRL(path string) {
	if path == "" {
		return
	}
	data, err := readFileLimit(path, maxCRLFile)
	if err != nil {
		l.add(err)
		return
	}
	n := 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		n++
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			l.add(problem(path, "fetch it from the CA again", "revocation list %d in it cannot be parsed: %v", n, err))
			continue
		}
		l.addCRL(path, n, list)
	}
	switch {
	case bytes.Contains(data, []byte("-----BEGIN X509 CRL")):
		l.add(problem(path, "fetch it from the CA again", "revocation list %d in it is damaged or cut off", n+1))
	case n == 0:
		l.add(problem(path, "put the CA's revocation list there in PEM form (-----BEGIN X509 CRL-----), or remove the file", "holds no revocation list"))
	}
	for _, c := range l.creds.crls {
		if c.stale(l.now) {
			l.creds.Warnings = append(l.creds.Warnings, *problem(path, "fetch it from the CA again; until then its peers are refused",
				"the revocation list of %q ran out on %s", c.name, stamp(c.nextUpdate)))
		}
	}
}

func (l *loader) addCRL(path string, n int, list *x509.RevocationList) {
	var signer *x509.Certificate
	for _, ca := range l.creds.CAs {
		if bytes.Equal(ca.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(ca) == nil {
			signer = ca
			break
		}
	}
	if signer == nil {
		l.add(problem(path, "fetch it from the CA again, or put its CA into "+l.creds.Found.CA,
			"revocation list %d in it, of %q, is not signed by a CA in %s", n, list.Issuer, l.creds.Found.CA))
		return
	}
	if list.ThisUpdate.After(l.now) {
		l.add(problem(path, "set this host's clock right", "revocation list %d in it is of %s, and this host's clock says %s", n, stamp(list.ThisUpdate), stamp(l.now)))
		return
	}
	if slices.ContainsFunc(list.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidDeltaCRL) }) {
		l.add(problem(path, "fetch the CA's whole list", "revocation list %d in it, of %q, is a delta: it has only what has changed since another one", n, list.Issuer))
		return
	}
	c := crl{file: path, issuer: list.RawIssuer, name: list.Issuer.String(), keyID: signer.SubjectKeyId,
		thisUpdate: list.ThisUpdate, nextUpdate: list.NextUpdate, revoked: make(map[string]time.Time, len(list.RevokedCertificateEntries))}
	for _, e := range list.RevokedCertificateEntries {
		c.revoked[serial(e.SerialNumber)] = e.RevocationTime
	}
	for i, have := range l.creds.crls {
		if bytes.Equal(have.issuer, c.issuer) && bytes.Equal(have.keyID, c.keyID) {
			if c.thisUpdate.After(have.thisUpdate) {
				l.creds.crls[i] = c
			}
			return
		}
	}
	l.creds.crls = append(l.creds.crls, c)
}

func serial(n *big.Int) string { return string(n.Bytes()) }

// stale is false for a list without an end.
func (c crl) stale(now time.Time) bool { return !c.nextUpdate.IsZero() && now.After(c.nextUpdate) }

// covers tells whether the list speaks for certificates that issuer has issued. Two CAs may have one name and
// different keys.
func (c crl) covers(issuer *x509.Certificate) bool {
	return bytes.Equal(c.issuer, issuer.RawSubject) && (len(c.keyID) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(c.keyID, issuer.SubjectKeyId))
}

// checkRevoked looks every certificate of a chain up but the trusted one. Being revoked counts before the list's age.
func (c *Credentials) checkRevoked(chain []*x509.Certificate, now time.Time) error {
	var stale error
	for i := range len(chain) - 1 {
		for _, list := range c.crls {
			if !list.covers(chain[i+1]) {
				continue
			}
			if at, ok := list.revoked[serial(chain[i].SerialNumber)]; ok {
				return &RevokedError{Cert: chain[i], File: list.file, At: at}
			}
			if stale == nil && list.stale(now) {
				stale = &StaleError{File: list.file, Issuer: list.name, NextUpdate: list.nextUpdate}
			}
		}
	}
	return stale
}
