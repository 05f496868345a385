package tlsconf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Other programs print distinguished names in other orders and forms than libvirt does:
//
//	libvirt                     C=GB,O=Example,CN=host-b    the certificate's own order
//	certtool, openssl -nameopt  CN=host-b,O=Example,C=GB    RFC 4514: the reverse
//	openssl                     C = GB, O = Example, CN = host-b
//	openssl, old                /C=GB/O=Example/CN=host-b
//
// A rule is compared with libvirt's, so one in another form would never match, and nothing would
// say so.

// spaced is openssl's form, slashed its old one.
var (
	spaced  = regexp.MustCompile(`(^|[^\\],) ?[A-Za-z0-9.]+ = `)
	slashed = regexp.MustCompile(`^/[A-Za-z0-9.]+ ?=`)
)

// wrongForm says how a rule in openssl's forms is to be written; "" if it is in neither.
func wrongForm(text string) string {
	text, printed := strings.CutPrefix(text, "subject=") // as openssl x509 -subject prints it
	text = strings.TrimPrefix(text, " ")
	switch {
	case slashed.MatchString(text):
		return strings.Join(strings.Split(text[1:], "/"), ",")
	case spaced.MatchString(text):
		return regexp.MustCompile(`(^|,) ?([A-Za-z0-9.]+) = `).ReplaceAllString(text, "$1$2=")
	case printed:
		return text
	}
	return ""
}

// splitDN divides a name at its commas that are not escaped.
func splitDN(dn string) []string {
	var parts []string
	from := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, dn[from:i])
			from = i + 1
		}
	}
	return append(parts, dn[from:])
}

// normalDN is what two spellings of a name have in common, in one order.
func normalDN(dn string) []string {
	parts := splitDN(dn)
	for i, p := range parts {
		kind, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		kind = strings.ToUpper(strings.TrimSpace(kind))
		switch kind {
		case "EMAILADDRESS", "E":
			kind = "EMAIL"
		case "S":
			kind = "ST"
		}
		parts[i] = kind + "=" + strings.TrimSpace(value)
	}
	return parts
}

// Hint says which of the rules is the holder's distinguished name in another order or spelling than
// libvirt's, and how to write it; "" if none is.
func (rs Rules) Hint(id Identity) string {
	if id.DN == "" {
		return ""
	}
	own := normalDN(id.DN)
	for _, r := range rs.rules {
		if r.kind != kindDN {
			continue
		}
		rule := normalDN(r.text)
		forward := slices.Equal(rule, own)
		slices.Reverse(rule)
		if forward || slices.Equal(rule, own) {
			return fmt.Sprintf("%q is its distinguished name in another order or spelling: write it as libvirt does, in the certificate's own order, %q", r.text, id.DN)
		}
	}
	return ""
}
