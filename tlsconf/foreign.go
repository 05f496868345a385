package tlsconf

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
)

// badString finds what Go alone refuses of a certificate's names: a character that a
// PrintableString may not have (X.680, section 41.4). OpenSSL and GnuTLS take any. why is "" if
// that is not what is wrong; subject is its holder's name in DER.
func badString(der []byte) (why string, subject []byte) {
	var c struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(der, &c); err != nil {
		return "", nil
	}
	// Its names are the third and the fifth element behind an optional version.
	rest, elements := c.TBS.Bytes, []asn1.RawValue(nil)
	for len(rest) > 0 && len(elements) < 6 {
		var e asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &e); err != nil {
			return "", nil
		}
		if len(elements) == 0 && e.Class == asn1.ClassContextSpecific {
			continue
		}
		elements = append(elements, e)
	}
	if len(elements) < 5 {
		return "", nil
	}
	for _, name := range []struct {
		whose string
		der   []byte
	}{{"issuer", elements[2].FullBytes}, {"subject", elements[4].FullBytes}} {
		if why := badStringIn(name.whose, name.der); why != "" {
			return why, elements[4].FullBytes
		}
	}
	return "", nil
}

func badStringIn(whose string, name []byte) string {
	var rdns []attributeSET
	if _, err := asn1.Unmarshal(name, &rdns); err != nil {
		return ""
	}
	for _, rdn := range rdns {
		for _, a := range rdn {
			if a.Value.Class != asn1.ClassUniversal || a.Value.Tag != asn1.TagPrintableString {
				continue
			}
			for _, c := range string(a.Value.Bytes) {
				if !inPrintableString(c) {
					kind := a.Type.String()
					if t, ok := dnTypes[kind]; ok {
						kind = t.name
					}
					return fmt.Sprintf("%s in its %s's name, %q, is a PrintableString with the character %q, which that kind of string may not have and Go refuses", kind, whose, a.Value.Bytes, c)
				}
			}
		}
	}
	return ""
}

// inPrintableString is what crypto/x509 takes: X.680's characters, and two that are common all the
// same.
func inPrintableString(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(" '()+,-./:=?*&", c)
}

// foreignKeys are kinds that Go does not have, by their algorithm's OID.
var foreignKeys = map[string]string{
	"1.3.101.113":             "an Ed448 key",
	"1.2.840.113549.1.1.10":   "an RSASSA-PSS key",
	"1.2.840.10040.4.1":       "a DSA key",
	"2.16.840.1.101.3.4.3.17": "an ML-DSA-44 key",
	"2.16.840.1.101.3.4.3.18": "an ML-DSA-65 key",
	"2.16.840.1.101.3.4.3.19": "an ML-DSA-87 key",
}

// keyOID is the algorithm of a certificate's key.
func keyOID(c *x509.Certificate) string {
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &key); err != nil {
		return ""
	}
	return key.Algorithm.Algorithm.String()
}

// keyKind names the kind of a PKCS #8 key that Go does not have; "" if it is not one.
func keyKind(der []byte) string {
	var key struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return ""
	}
	return foreignKeys[key.Algorithm.Algorithm.String()]
}
