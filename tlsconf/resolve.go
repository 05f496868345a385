package tlsconf

import (
	"slices"
	"strings"
)

// resolved is what GnuTLS makes of the lists: what it would offer.
type resolved struct {
	versions []string
	suites   []suite
	groups   []string
	signs    []string
	no13     string // why TLS 1.3, which the lists have, is not among the versions
}

// noPriorities is GnuTLS's GNUTLS_E_NO_PRIORITIES_WERE_SET.
const noPriorities = "it leaves nothing: no version, or no cipher suite, is allowed"

// resolve does what GnuTLS's set_ciphersuite_list does (lib/priority.c), in the same order. The
// second result is false where that fails.
func resolve(l *lists, sys *System) (resolved, bool) {
	kxs := removeAll(l.kxs, sys.disabledKXs...)
	groupList := removeAll(l.groups, sys.disabledGroups...)
	cipherList := removeAll(l.ciphers, sys.disabledCiphers...)
	macList := removeAll(l.macs, sys.disabledMACs...)

	var r resolved
	for _, v := range l.versions {
		if sys.versionEnabled(v) {
			r.versions = append(r.versions, v)
		}
	}
	psk := slices.ContainsFunc(kxs, func(kx string) bool { return kx == "PSK" || kx == "DHE-PSK" || kx == "ECDHE-PSK" })
	pre13 := slices.ContainsFunc(kxs, func(kx string) bool { return strings.HasPrefix(kx, "SRP") || kx == "RSA-PSK" })
	if pre13 || has(cipherList, "NULL") || l.options["NO_EXTENSIONS"] {
		r.no13 = "GnuTLS turns TLS 1.3 off where NULL, SRP, RSA-PSK or %NO_EXTENSIONS is on"
		r.versions = removeAll(r.versions, "TLS1.3")
	}
	if len(r.versions) == 0 {
		return r, false
	}
	tls13 := has(r.versions, "TLS1.3")
	only13 := tls13 && len(r.versions) == 1
	if only13 && !psk {
		kxs = nil // TLS 1.3 needs none
	}

	ec, dh := tls13, tls13
	for _, kx := range append([]string{""}, kxs...) {
		for _, c := range cipherList {
			for _, m := range macList {
				s, ok := suiteByParts[suiteParts{kx, c, m}]
				if !ok || !sys.hashSecure(s.prf()) {
					continue
				}
				r.suites = append(r.suites, s)
				ec = ec || strings.HasPrefix(kx, "ECDHE") || kx == "ANON-ECDH" || kx == "VKO-GOST-12"
				dh = dh || strings.HasPrefix(kx, "DHE") || kx == "ANON-DH"
			}
		}
	}
	for _, g := range groupList {
		curve, ok := groups[g]
		isDH := strings.HasPrefix(g, "FFDHE")
		if ok && (isDH && dh || !isDH && ec && (curve == "" || sys.curveEnabled(curve))) {
			r.groups = append(r.groups, g)
		}
	}
	old := slices.ContainsFunc(r.versions, func(v string) bool { return v != "TLS1.3" })
	for _, name := range l.signs {
		s := signs[name]
		if (s.tls12 && old || s.tls13 && tls13) && sys.signSecure(name) {
			r.signs = append(r.signs, name)
		}
	}
	if len(r.signs) == 0 {
		r.no13 = "no signature algorithm is allowed, without which GnuTLS turns TLS 1.2 and 1.3 off"
		r.versions = removeAll(r.versions, "TLS1.2", "TLS1.3", "DTLS1.2")
	}
	if len(r.versions) == 0 || len(r.suites) == 0 || slices.Equal(r.versions, []string{"SSL3.0"}) {
		return r, false
	}
	// Servers without TLS 1.3 take its hello for one of TLS 1.2, so with older versions
	// TLS 1.3 is offered only if TLS 1.2 is; and it needs a group.
	older := has(r.versions, "TLS1.1") || has(r.versions, "TLS1.0")
	switch {
	case !has(r.versions, "TLS1.3"): // for a reason that is known
	case !psk && len(r.groups) == 0:
		r.no13 = "no group is allowed, without which GnuTLS turns TLS 1.3 off: add +GROUP-ALL"
		r.versions = removeAll(r.versions, "TLS1.3")
	case older && !has(r.versions, "TLS1.2"):
		r.no13 = "GnuTLS turns TLS 1.3 off where TLS 1.2 is off and an older version is on: for TLS 1.3 alone write -VERS-ALL:+VERS-TLS1.3"
		r.versions = removeAll(r.versions, "TLS1.3")
	}
	return r, true
}

type suiteParts struct{ kx, cipher, mac string }

var suiteByParts = func() map[suiteParts]suite {
	m := make(map[suiteParts]suite, len(suites))
	for _, s := range suites {
		m[suiteParts{s.kx, s.cipher, s.mac}] = s
	}
	return m
}()

// prf is the hash that the suite derives keys with.
func (s suite) prf() string {
	switch {
	case strings.HasSuffix(s.name, "SHA384"):
		return "SHA384"
	case strings.HasPrefix(s.name, "TLS_GOST"):
		return "STREEBOG-256"
	}
	return "SHA256"
}
