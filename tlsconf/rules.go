package tlsconf

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Rules is a list of names that are allowed. The zero value, like any empty list, allows nobody.
type Rules struct{ rules []rule }

type kind int

const (
	kindDNS kind = iota
	kindURI
	kindIP
	kindDN
	kindAny
)

type rule struct {
	text    string // as written
	kind    kind
	pattern string // in the form in which names are compared
}

// ParseRules reads rules, one a string. What a rule is about is told by its form:
//
//	host-b.example.org   a DNS name, in either case
//	192.0.2.7            an IP address, exact
//	spiffe://site/kvm/*  a URI
//	C=GB,O=Site,CN=*     a distinguished name in the certificate's order, as in libvirt's tls_allowed_dn_list
//	*                    whoever has a certificate with any name in it
//
// In all but addresses * stands for any characters, dots and commas included, and
// ? for any one, as in GLib's g_pattern_match_simple, which libvirt uses.
//
// A wildcard in a certificate is not one here: the DNS name *.example.org in a
// certificate is matched by the rule *.example.org, and not by host-b.example.org,
// because a certificate that could be any host's does not tell which host has it.
func ParseRules(list []string) (Rules, error) {
	var rs Rules
	for _, text := range list {
		r, err := parseRule(text)
		if err != nil {
			return Rules{}, fmt.Errorf("rule %q: %w", text, err)
		}
		rs.rules = append(rs.rules, r)
	}
	return rs, nil
}

func parseRule(text string) (rule, error) {
	if strings.TrimSpace(text) == "" {
		return rule{}, errors.New("empty; to allow any name write *")
	}
	if strings.TrimSpace(text) != text {
		return rule{}, errors.New("begins or ends with a space")
	}
	if text == "*" {
		return rule{text, kindAny, text}, nil
	}
	eq, scheme := strings.IndexByte(text, '='), strings.Index(text, "://")
	switch {
	case scheme > 0 && (eq < 0 || scheme < eq):
		return rule{text, kindURI, text}, nil
	case eq >= 0:
		if form := wrongForm(text); form != "" {
			return rule{}, fmt.Errorf("is in openssl's form, which never matches; write such as %q, in the certificate's own order", form)
		}
		return rule{text, kindDN, text}, nil
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		return rule{text, kindIP, ip.Unmap().String()}, nil
	}
	if strings.ContainsAny(text, "/:@ ,") {
		return rule{}, errors.New("not a DNS name, an IP address, a URI (scheme://…) or a distinguished name (C=…)")
	}
	if strings.ContainsAny(text, "0123456789") && strings.Trim(text, "0123456789.*?") == "" {
		return rule{}, errors.New("IP addresses match exactly: list each one")
	}
	return rule{text, kindDNS, normalDNS(text)}, nil
}

// Match returns the first rule, as it was written, that matches one of the names.
func (rs Rules) Match(id Identity) (string, bool) {
	for _, r := range rs.rules {
		if r.match(id) {
			return r.text, true
		}
	}
	return "", false
}

func (r rule) match(id Identity) bool {
	switch r.kind {
	case kindDNS:
		for _, n := range id.DNS {
			if glob(r.pattern, normalDNS(n)) {
				return true
			}
		}
	case kindURI:
		for _, n := range id.URI {
			if glob(r.pattern, n) {
				return true
			}
		}
	case kindIP:
		for _, n := range id.IP {
			if ip, err := netip.ParseAddr(n); err == nil && ip.Unmap().String() == r.pattern {
				return true
			}
		}
	case kindAny:
		return len(id.DNS)+len(id.URI)+len(id.IP) > 0 || id.DN != ""
	case kindDN:
		return id.DN != "" && glob(r.pattern, id.DN)
	}
	return false
}

// Empty is true for a list that allows nobody.
func (rs Rules) Empty() bool { return len(rs.rules) == 0 }

// String lists the rules for a person.
func (rs Rules) String() string {
	if rs.Empty() {
		return "nobody (the list is empty)"
	}
	var texts []string
	for _, r := range rs.rules {
		texts = append(texts, r.text)
	}
	return strings.Join(texts, ", ")
}

// glob matches in time proportional to len(pattern)*len(s) at most: on a
// mismatch only the last * is tried again.
func glob(pattern, s string) bool {
	p, i := 0, 0
	star, retry := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
		case p < len(pattern) && pattern[p] == '?':
			_, n := utf8.DecodeRuneInString(s[i:])
			p++
			i += n
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
