package tlsconf

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// Policy is a GnuTLS priority string, parsed: the versions, suites and groups that a handshake may end
// on. It is immutable, and its fields are not to be written.
type Policy struct {
	Versions    []string `json:"versions"`    // "TLS1.3", "TLS1.2"
	Suites      []string `json:"suites"`      // IANA's names, those that the versions can use
	Groups      []string `json:"groups"`      // GnuTLS's names, as in "X25519"
	Unavailable []Note   `json:"unavailable"` // allowed by the string, and not to be had here
	NoEffect    []Note   `json:"no_effect"`
	Source      string   `json:"source"`             // the string as it was given
	Expanded    string   `json:"expanded,omitempty"` // what @KEYWORD stands for
	File        string   `json:"file,omitempty"`     // the system file it was looked up in

	min, max  uint16
	suites12  []uint16
	suites13  []uint16
	groups    []tls.CurveID
	schemes12 []tls.SignatureScheme
	schemes13 []tls.SignatureScheme
	profile   profile
	noCRL     bool
	all       resolved // before what Go lacks was taken away
}

// Note is a token and why it is not what one may think.
type Note struct {
	Token  string `json:"token"`
	Why    string `json:"why"`
	widens bool
}

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

// ParsePriority reads a GnuTLS priority string with GnuTLS's meaning. sys is for strings that begin with @,
// and takes away what the administrator has taken away from all of the host; nil is a host without a system file.
//
// What the string allows and Go has not is listed in Unavailable. A string that leaves nothing that Go
// has is an *UnsupportedError, which names the token after which nothing is left; one that GnuTLS
// does not take is a *SyntaxError.
func ParsePriority(priority string, sys *System) (*Policy, error) {
	if len(priority) > maxPriority {
		return nil, &SyntaxError{String: priority[:32] + "…", Reason: fmt.Sprintf("longer than the %d bytes allowed", maxPriority)}
	}
	if i := strings.IndexByte(priority, 0); i >= 0 {
		return nil, &SyntaxError{String: priority, Column: i + 1, Reason: "holds a NUL"}
	}
	if sys == nil {
		sys = &System{}
	}
	expanded, from, err := sys.expand(priority)
	if err != nil {
		return nil, err
	}
	tokens := split(expanded)
	if len(tokens) > maxTokens {
		return nil, &SyntaxError{String: expanded, From: from, Token: tokens[maxTokens].text, Column: tokens[maxTokens].column,
			Reason: fmt.Sprintf("GnuTLS does not read beyond %d tokens", maxTokens)}
	}
	p, err := build(tokens, sys)
	switch e := err.(type) {
	case nil:
	case *SyntaxError:
		e.String, e.From = expanded, from
		if from == "" && e.Column > 0 {
			e.String, e.Column = priority, e.Column+len(priority)-len(expanded)
		}
		return nil, e
	case *UnsupportedError:
		e.String, e.From = expanded, from
		e.blame(tokens, sys)
		return nil, e
	default:
		return nil, err
	}
	p.Source = priority
	if from != "" {
		p.Expanded, p.File = expanded, from
	}
	return p, nil
}

// blame finds the token after which nothing usable was left any more.
func (e *UnsupportedError) blame(tokens []token, sys *System) {
	usable := false
	for n := 1; n <= len(tokens); n++ {
		_, err := build(tokens[:n], sys)
		switch {
		case err == nil:
			usable, e.Token, e.Column = true, "", 0
		case usable && e.Token == "":
			e.Token, e.Column = tokens[n-1].text, tokens[n-1].column
		}
	}
}

func build(tokens []token, sys *System) (*Policy, error) {
	l, err := parse(tokens, sys)
	if err != nil {
		return nil, err
	}
	if sys.profile != profileNone && strengths[l.profile].level < strengths[sys.profile].level {
		l.profile = sys.profile
	}
	r, ok := resolve(l, sys)
	if !ok {
		return nil, &SyntaxError{Reason: noPriorities}
	}
	if !has(l.ctypeClient, "X509") || !has(l.ctypeServer, "X509") {
		// A string that begins with NONE has no certificate types, and GnuTLS takes that for X.509.
		if len(l.ctypeClient)+len(l.ctypeServer) > 0 || !strings.EqualFold(tokens[0].text, "NONE") {
			return nil, &UnsupportedError{Reason: "X.509 certificates are not allowed on both sides, and there are no others here"}
		}
	}
	p := &Policy{profile: l.profile, noCRL: l.options["VERIFY_DISABLE_CRL_CHECKS"], all: r,
		Versions: []string{}, Suites: []string{}, Groups: []string{}, Unavailable: []Note{}, NoEffect: []Note{}}
	for _, n := range l.notes {
		if n.widens {
			p.unavailable(n.Token, n.Why)
		} else {
			p.NoEffect = append(p.NoEffect, n)
		}
	}
	p.addGroups(r)
	p.addSigns(r)
	p.addSuites(r, l.options["FORCE_ETM"])
	if err := p.addVersions(r, l.options["FORCE_SESSION_HASH"]); err != nil {
		return nil, err
	}
	if !p.allSchemes() {
		p.NoEffect = append(p.NoEffect, Note{Token: "SIGN", Why: "Go offers peers all its signature algorithms; one that signs with another than the allowed ones is refused at the end of the handshake"})
	}
	p.NoEffect = append(p.NoEffect, Note{Token: "order", Why: "Go chooses by its own order among what is allowed"})
	return p, nil
}

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
		// RSA with PKCS #1 v1.5 and SHA-1 are for certificates alone in TLS 1.3 (RFC 8446, section 4.2.3).
		if s.tls13 && s.hash != "SHA1" && !strings.HasPrefix(name, "RSA-SHA") {
			p.schemes13 = append(p.schemes13, s.scheme)
		}
	}
}

// allSchemes tells whether the policy allows every signature algorithm that crypto/tls offers, SHA-1's aside,
// in every version that the policy has.
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
func (p *Policy) addVersions(r resolved, forceEMS bool) error {
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
			why = append(why, "no group that Go has is allowed, which TLS 1.3 needs")
		case v == "TLS1.3" && len(p.schemes13) == 0:
			why = append(why, "no signature algorithm that Go has in TLS 1.3 is allowed")
		case v == "TLS1.2" && forceEMS:
			// crypto/tls tells only after the handshake, and not to a verifier, whether the peer has it.
			why = append(why, "%FORCE_SESSION_HASH cannot be held to in TLS 1.2")
		case v == "TLS1.2" && len(p.suites12) == 0:
			why = append(why, "no TLS 1.2 suite that Go has is allowed")
		case v == "TLS1.2" && len(p.schemes12) == 0:
			why = append(why, "no signature algorithm that Go has in TLS 1.2 is allowed")
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
