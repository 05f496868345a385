package tlsconf

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Limits of a distinguished name; GnuTLS's own buffers hold less.
const (
	maxRDNs  = 64
	maxDNLen = 4096 // bytes, as text
)

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// attributeSET is a relative distinguished name; the suffix makes encoding/asn1 read a SET OF.
type attributeSET []attribute

// formatDN prints a DER-encoded Name as libvirt does, that is as gnutls_x509_crt_get_dn does:
// attributes in the certificate's own order, where RFC 4514 has the reverse; escapes as in RFC
// 4514; attribute types that GnuTLS has no name for as their OID, and values it cannot decode as #
// and the hexadecimal DER (GnuTLS lib/x509/dn.c, lib/x509/common.c).
//
// Unlike GnuTLS it refuses a name that holds a NUL or another control character: such a name is
// made to be read in another way than it is written.
func formatDN(der []byte) (string, error) {
	var rdns []attributeSET
	rest, err := asn1.Unmarshal(der, &rdns)
	if err != nil {
		return "", fmt.Errorf("distinguished name: %w", err)
	}
	if len(rest) > 0 {
		return "", errors.New("distinguished name: data after its end")
	}
	if len(rdns) > maxRDNs {
		return "", fmt.Errorf("distinguished name: %d parts, more than the %d allowed", len(rdns), maxRDNs)
	}
	var b strings.Builder
	for i, rdn := range rdns {
		for j, a := range rdn {
			switch {
			case j > 0:
				b.WriteByte('+')
			case i > 0:
				b.WriteByte(',')
			}
			oid := a.Type.String()
			t, known := dnTypes[oid]
			name := t.name
			if !known {
				name = oid
			}
			b.WriteString(name)
			b.WriteByte('=')
			s, ok := "", false
			if known {
				s, ok = decodeString(a.Value, t.tag)
			}
			if ok {
				if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
					return "", fmt.Errorf("distinguished name: the control character %#02x in %s", s[i], name)
				}
				escapeDN(&b, s)
			} else {
				b.WriteByte('#')
				b.WriteString(hex.EncodeToString(a.Value.FullBytes))
			}
			if b.Len() > maxDNLen {
				return "", fmt.Errorf("distinguished name: longer than the %d bytes allowed", maxDNLen)
			}
		}
	}
	return b.String(), nil
}

// escapeDN writes s as GnuTLS's str_escape does.
func escapeDN(b *strings.Builder, s string) {
	for i := range len(s) {
		switch c := s[i]; {
		case strings.IndexByte(`,+"\<>;`, c) >= 0,
			i == 0 && (c == '#' || c == ' '),
			i == len(s)-1 && c == ' ':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
}

// decodeString decodes the value of an attribute whose type allows the given tag, or any of
// DirectoryString's if tag is 0. It is false where GnuTLS prints the value's DER.
func decodeString(v asn1.RawValue, tag int) (string, bool) {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return "", false
	}
	if tag != 0 {
		return string(v.Bytes), v.Tag == tag
	}
	if len(v.Bytes) == 0 {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString:
		return string(v.Bytes), true
	case asn1.TagT61String:
		for _, c := range v.Bytes {
			if c < ' ' || c > '~' {
				return "#" + hex.EncodeToString(v.Bytes), true
			}
		}
		return string(v.Bytes), true
	case asn1.TagBMPString:
		if len(v.Bytes)%2 != 0 {
			return "", false
		}
		u := make([]uint16, len(v.Bytes)/2)
		for i := range u {
			u[i] = uint16(v.Bytes[2*i])<<8 | uint16(v.Bytes[2*i+1])
		}
		return string(utf16.Decode(u)), true
	case tagUniversalString:
		return "#" + hex.EncodeToString(v.Bytes), true
	}
	return "", false
}

const tagUniversalString = 28

// dnType is an attribute type: its name, and the one tag its value may have, or 0 for a
// DirectoryString.
type dnType struct {
	name string
	tag  int
}

// dnTypes are the types that GnuTLS prints by name (lib/x509/common.c).
var dnTypes = map[string]dnType{
	"2.5.4.3":  {"CN", 0},
	"2.5.4.4":  {"surName", 0},
	"2.5.4.5":  {"serialNumber", asn1.TagPrintableString},
	"2.5.4.6":  {"C", asn1.TagPrintableString},
	"2.5.4.7":  {"L", 0},
	"2.5.4.8":  {"ST", 0},
	"2.5.4.9":  {"street", 0},
	"2.5.4.10": {"O", 0},
	"2.5.4.11": {"OU", 0},
	"2.5.4.12": {"title", 0},
	"2.5.4.13": {"description", 0},
	"2.5.4.15": {"businessCategory", 0},
	"2.5.4.17": {"postalCode", 0},
	"2.5.4.20": {"telephoneNumber", asn1.TagPrintableString},
	"2.5.4.41": {"name", 0},
	"2.5.4.42": {"givenName", 0},
	"2.5.4.43": {"initials", 0},
	"2.5.4.44": {"generationQualifier", 0},
	"2.5.4.46": {"dnQualifier", asn1.TagPrintableString},
	"2.5.4.65": {"pseudonym", 0},

	"0.9.2342.19200300.100.1.1":  {"UID", 0},
	"0.9.2342.19200300.100.1.25": {"DC", asn1.TagIA5String},
	"1.2.840.113549.1.9.1":       {"EMAIL", asn1.TagIA5String},
	"1.2.840.113556.1.4.656":     {"userPrincipalName", 0},

	"1.3.6.1.5.5.7.8.5": {"XmppAddr", asn1.TagUTF8String},
	"1.3.6.1.5.5.7.9.2": {"placeOfBirth", 0},
	"1.3.6.1.5.5.7.9.3": {"gender", asn1.TagPrintableString},
	"1.3.6.1.5.5.7.9.4": {"countryOfCitizenship", asn1.TagPrintableString},
	"1.3.6.1.5.5.7.9.5": {"countryOfResidence", asn1.TagPrintableString},

	"1.3.6.1.4.1.311.60.2.1.1": {"jurisdictionOfIncorporationLocalityName", 0},
	"1.3.6.1.4.1.311.60.2.1.2": {"jurisdictionOfIncorporationStateOrProvinceName", 0},
	"1.3.6.1.4.1.311.60.2.1.3": {"jurisdictionOfIncorporationCountryName", asn1.TagPrintableString},

	"1.2.643.100.1":     {"OGRN", asn1.TagNumericString},
	"1.2.643.100.3":     {"SNILS", asn1.TagNumericString},
	"1.2.643.100.5":     {"OGRNIP", asn1.TagNumericString},
	"1.2.643.3.131.1.1": {"INN", asn1.TagNumericString},
}
