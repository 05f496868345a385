package tlsconf

import (
	"crypto/tls"
	"slices"
	"strings"
)

// goVersions are the versions to be had. Go has TLS 1.0 and 1.1 too; RFC 8996 forbids them.
var goVersions = map[string]uint16{"TLS1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13}

var goGroups = map[string]tls.CurveID{
	"SECP256R1": tls.CurveP256, "SECP384R1": tls.CurveP384, "SECP521R1": tls.CurveP521, "X25519": tls.X25519,
	"X25519-MLKEM768": tls.X25519MLKEM768, "SECP256R1-MLKEM768": tls.SecP256r1MLKEM768, "SECP384R1-MLKEM1024": tls.SecP384r1MLKEM1024,
}

// goSuites are the suites that crypto/tls has, those that it leaves out by default included.
var goSuites = func() map[uint16]bool {
	m := make(map[uint16]bool)
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		m[s.ID] = true
	}
	return m
}()

func (p *Policy) unavailable(token, why string) {
	if !slices.ContainsFunc(p.Unavailable, func(n Note) bool { return n.Token == token }) {
		p.Unavailable = append(p.Unavailable, Note{Token: token, Why: why})
	}
}

func (p *Policy) addGroups(r resolved) {
	for _, g := range r.groups {
		if id, ok := goGroups[g]; ok {
			p.Groups = append(p.Groups, g)
			p.groups = append(p.groups, id)
			continue
		}
		p.unavailable("GROUP-"+g, "Go does not have this group")
	}
}

func (p *Policy) addSigns(r resolved) {
	for _, name := range r.signs {
		s := signs[name]
		if s.scheme == 0 {
			p.unavailable("SIGN-"+name, "Go does not have this signature algorithm")
			continue
		}
		if s.tls12 {
			p.schemes12 = append(p.schemes12, s.scheme)
		}
		// RSA with PKCS #1 v1.5 and SHA-1 are for certificates alone in TLS 1.3 (RFC 8446, section
		// 4.2.3).
		if s.tls13 && s.hash != "SHA1" && !strings.HasPrefix(name, "RSA-SHA") {
			p.schemes13 = append(p.schemes13, s.scheme)
		}
	}
}

// allSchemes tells whether the policy allows every signature algorithm that crypto/tls offers,
// SHA-1's aside, in every version that the policy has.
func (p *Policy) allSchemes() bool {
	for _, s := range signs {
		if s.scheme == 0 || s.hash == "SHA1" {
			continue
		}
		pkcs1 := s.scheme == tls.PKCS1WithSHA256 || s.scheme == tls.PKCS1WithSHA384 || s.scheme == tls.PKCS1WithSHA512
		if s.tls12 && p.min <= tls.VersionTLS12 && !slices.Contains(p.schemes12, s.scheme) ||
			s.tls13 && !pkcs1 && p.max >= tls.VersionTLS13 && !slices.Contains(p.schemes13, s.scheme) {
			return false
		}
	}
	return true
}

func (p *Policy) addSuites(r resolved, forceETM bool) {
	for _, s := range r.suites {
		is13 := s.version == "TLS1.3"
		switch {
		case is13 && !has(r.versions, "TLS1.3"), !is13 && !has(r.versions, "TLS1.2") && !has(r.versions, "TLS1.1") && !has(r.versions, "TLS1.0"):
			continue // GnuTLS lists it, and has no version to use it with
		case !goSuites[s.id]:
			p.unavailable(s.lacking())
		case is13:
			p.suites13 = append(p.suites13, s.id)
		case forceETM && strings.HasSuffix(s.cipher, "-CBC"):
			p.unavailable(s.name, "%FORCE_ETM wants encrypt-then-MAC for it, which Go does not have")
		case strings.HasPrefix(s.kx, "ECDHE") && len(p.groups) == 0:
			p.unavailable(s.name, "no group that Go has is allowed")
		default:
			p.suites12 = append(p.suites12, s.id)
		}
	}
}

// lacking gives the token, and the reason, for which Go does not have a suite.
func (s suite) lacking() (token, why string) {
	some := func(same func(suite) bool) bool {
		return slices.ContainsFunc(suites, func(o suite) bool { return goSuites[o.id] && same(o) })
	}
	switch {
	case !some(func(o suite) bool { return o.cipher == s.cipher }):
		return s.cipher, "Go does not have this cipher"
	case s.kx != "" && !some(func(o suite) bool { return o.kx == s.kx }):
		return s.kx, "Go does not have this key exchange"
	case !some(func(o suite) bool { return o.mac == s.mac }):
		return s.mac, "Go does not have this MAC in any suite"
	}
	return s.name, "Go does not have this combination"
}

// addVersions keeps the versions that have all they need.
func (p *Policy) addVersions(r resolved) error {
	var why []string
	if r.no13 != "" {
		why = append(why, r.no13)
		p.unavailable("VERS-TLS1.3", r.no13)
	}
	for _, v := range r.versions {
		id, ok := goVersions[v]
		switch {
		case v == "TLS1.0", v == "TLS1.1":
			p.unavailable("VERS-"+v, "not used here: RFC 8996 forbids it")
		case !ok: // DTLS: for other transports than ours
		case v == "TLS1.3" && len(p.suites13) == 0:
			why = append(why, "no TLS 1.3 suite that Go has is allowed")
		case v == "TLS1.3" && len(p.groups) == 0:
			why = append(why, "no group that Go has is allowed, which TLS 1.3 needs: add +GROUP-ALL")
		case v == "TLS1.3" && len(p.schemes13) == 0:
			why = append(why, "no signature algorithm that Go has in TLS 1.3 is allowed: add +SIGN-ALL")
		case v == "TLS1.2" && len(p.suites12) == 0 && len(p.groups) == 0:
			why = append(why, "no group that Go has is allowed, which the suites of TLS 1.2 with ECDHE need: add +GROUP-ALL")
		case v == "TLS1.2" && len(p.suites12) == 0:
			why = append(why, "no TLS 1.2 suite that Go has is allowed")
		case v == "TLS1.2" && len(p.schemes12) == 0:
			why = append(why, "no signature algorithm that Go has in TLS 1.2 is allowed: add +SIGN-ALL")
		default:
			p.Versions = append(p.Versions, v)
			if p.min == 0 || id < p.min {
				p.min = id
			}
			p.max = max(p.max, id)
		}
		if n := len(why); n > 0 && !has(p.Versions, v) && ok {
			p.unavailable("VERS-"+v, why[n-1])
		}
	}
	if len(p.Versions) == 0 {
		if len(why) == 0 {
			why = []string{"neither TLS 1.2 nor TLS 1.3 is allowed"}
		}
		return &UnsupportedError{Reason: strings.Join(why, "; ")}
	}
	if p.max < tls.VersionTLS13 {
		p.suites13 = nil
	}
	if p.min > tls.VersionTLS12 {
		p.suites12 = nil
	}
	for _, id := range append(slices.Clone(p.suites13), p.suites12...) {
		p.Suites = append(p.Suites, tls.CipherSuiteName(id))
	}
	return nil
}
