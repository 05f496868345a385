package tlsconf

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

// crlKind is the kind of a PEM block that holds a revocation list.
const crlKind = "X509 CRL"

// revocationList is a list as it stands in a file, nothing of it proved.
type revocationList struct {
	issuer     []byte // DER
	name       string
	thisUpdate time.Time
	nextUpdate time.Time // zero if it has none
	keyID      []byte    // of the CA's key; nil if it does not say
	delta      bool
	revoked    map[string]time.Time // by serial

	algorithm x509.SignatureAlgorithm
	signed    []byte
	signature []byte
}

// signedBy checks the signature alone: what the CA says of its key's usage is not looked at.
func (r *revocationList) signedBy(ca *x509.Certificate) error {
	return ca.CheckSignature(r.algorithm, r.signed, r.signature)
}

// unprovedCRL is a list whose CA is not known yet. What was found is kept, since a signature over a
// long list takes its time.
type unprovedCRL struct {
	list *revocationList
	mu   sync.Mutex
	by   map[string]error // by the key that was tried
}

func (u *unprovedCRL) signedBy(ca *x509.Certificate) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := string(ca.RawSubjectPublicKeyInfo)
	err, known := u.by[key]
	if !known {
		err = u.list.signedBy(ca)
		if u.by == nil {
			u.by = make(map[string]error)
		}
		u.by[key] = err
	}
	return err
}

// parseCRL reads lists of version 2 and, as GnuTLS and OpenSSL do and Go does not, of version 1.
func parseCRL(der []byte) (*revocationList, error) {
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &whole); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow its end", len(rest))
	}
	if l, ok, err := parseCRL1(der); ok {
		return l, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	l := &revocationList{
		issuer: list.RawIssuer, name: list.Issuer.String(), thisUpdate: list.ThisUpdate, nextUpdate: list.NextUpdate, keyID: list.AuthorityKeyId,
		revoked:   make(map[string]time.Time, len(list.RevokedCertificateEntries)),
		algorithm: list.SignatureAlgorithm, signed: list.RawTBSRevocationList, signature: list.Signature,
	}
	for _, e := range list.RevokedCertificateEntries {
		l.revoked[serial(e.SerialNumber)] = e.RevocationTime
	}
	for _, e := range list.Extensions {
		l.delta = l.delta || e.Id.Equal(oidDeltaCRL)
	}
	return l, nil
}

// crl1 is a list of version 1, which says no version and has no extensions (RFC 5280, section 5.1).
type crl1 struct {
	TBS struct {
		Raw        asn1.RawContent
		Algorithm  asn1.RawValue
		Issuer     asn1.RawValue
		ThisUpdate time.Time
		NextUpdate time.Time `asn1:"optional"`
		Revoked    []struct {
			Serial *big.Int
			At     time.Time
		} `asn1:"optional"`
		Extensions asn1.RawValue `asn1:"optional,explicit,tag:0"`
	}
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// parseCRL1 returns false for a list of another version.
func parseCRL1(der []byte) (*revocationList, bool, error) {
	var c crl1
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		return nil, false, nil
	}
	if len(c.TBS.Extensions.FullBytes) > 0 {
		return nil, true, errors.New("it has extensions, and says that it is of version 1, which has none")
	}
	if !bytes.Equal(c.TBS.Algorithm.FullBytes, c.Algorithm.FullBytes) {
		return nil, true, errors.New("it names two signature algorithms")
	}
	algorithm, err := signatureAlgorithm(c)
	if err != nil {
		return nil, true, err
	}
	var rdns pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.TBS.Issuer.FullBytes, &rdns); err != nil {
		return nil, true, fmt.Errorf("its issuer: %w", err)
	}
	var name pkix.Name
	name.FillFromRDNSequence(&rdns)
	l := &revocationList{
		issuer: c.TBS.Issuer.FullBytes, name: name.String(), thisUpdate: c.TBS.ThisUpdate, nextUpdate: c.TBS.NextUpdate,
		revoked:   make(map[string]time.Time, len(c.TBS.Revoked)),
		algorithm: algorithm, signed: c.TBS.Raw, signature: c.Signature.RightAlign(),
	}
	for _, e := range c.TBS.Revoked {
		l.revoked[serial(e.Serial)] = e.At
	}
	return l, true, nil
}

// signatureAlgorithm asks crypto/x509, which knows an algorithm's number only within a list: one of
// version 2 that says nothing else.
func signatureAlgorithm(c crl1) (x509.SignatureAlgorithm, error) {
	type tbs2 struct {
		Version    int
		Algorithm  asn1.RawValue
		Issuer     asn1.RawValue
		ThisUpdate time.Time
	}
	der, err := asn1.Marshal(struct {
		TBS       tbs2
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}{tbs2{1, c.TBS.Algorithm, c.TBS.Issuer, c.TBS.ThisUpdate}, c.TBS.Algorithm, c.Signature})
	if err != nil {
		return 0, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return 0, err
	}
	if list.SignatureAlgorithm == x509.UnknownSignatureAlgorithm {
		return 0, errors.New("it is signed with an algorithm that Go does not have")
	}
	return list.SignatureAlgorithm, nil
}

// ofAnother is true for a list that names the key of its CA, which is none of these. Two places in
// it would have to be damaged alike for this to be wrong.
func (r *revocationList) ofAnother(cas []*x509.Certificate) bool {
	return len(r.keyID) > 0 && !slices.ContainsFunc(cas, func(ca *x509.Certificate) bool {
		if len(ca.SubjectKeyId) > 0 {
			return bytes.Equal(ca.SubjectKeyId, r.keyID)
		}
		var key struct {
			Algorithm pkix.AlgorithmIdentifier
			Key       asn1.BitString
		}
		_, err := asn1.Unmarshal(ca.RawSubjectPublicKeyInfo, &key)
		sum := sha1.Sum(key.Key.RightAlign()) // as RFC 5280 has it, section 4.2.1.2
		return err != nil || bytes.Equal(sum[:], r.keyID)
	})
}

// crlIssuer is the name in a list that cannot be parsed as a whole; nil if that can't be found.
func crlIssuer(der []byte) []byte {
	var c struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		return nil
	}
	rest := c.TBS.Bytes
	for i := 0; len(rest) > 0; {
		var e asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &e); err != nil {
			return nil
		}
		if e.Tag == asn1.TagInteger { // the version
			continue
		}
		if i++; i == 2 {
			return e.FullBytes
		}
	}
	return nil
}
