package tlsconf

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// Policy is a GnuTLS priority string, parsed: the versions, suites and groups that a handshake may
// end on. It is immutable, and its fields are not to be written.
type Policy struct {
	Versions    []string `json:"versions"`    // "TLS1.3", "TLS1.2"
	Suites      []string `json:"suites"`      // IANA's names, those that the versions can use
	Groups      []string `json:"groups"`      // GnuTLS's names, as in "X25519"
	Added       []Note   `json:"added"`       // allowed here, and not by the string
	Unavailable []Note   `json:"unavailable"` // allowed by the string, and not to be had here
	NoEffect    []Note   `json:"no_effect"`
	SessionHash bool     `json:"session_hash,omitempty"` // TLS 1.2 only with the extended master secret (RFC 7627)
	Source      string   `json:"source"`                 // the string as it was given
	Expanded    string   `json:"expanded,omitempty"`     // what @KEYWORD stands for
	File        string   `json:"file,omitempty"`         // the system file it was looked up in

	min, max uint16
	suites12 []uint16
	suites13 []uint16
	groups   []tls.CurveID

	bearsHybrid bool
	schemes12   []tls.SignatureScheme
	schemes13   []tls.SignatureScheme
	profile     profile
	noCRL       bool
	all         resolved // before what Go lacks was taken away
}

// Note is a token and why it is not what one may think.
type Note struct {
	Token  string `json:"token"`
	Why    string `json:"why"`
	widens bool
}

// ParsePriority reads a GnuTLS priority string with GnuTLS's meaning. sys is for strings that begin
// with @, and takes away what the administrator has taken away from all of the host; nil is a host
// without a system file.
//
// What the string allows and Go has not is listed in Unavailable. A string that leaves nothing that
// Go has is an *UnsupportedError, which names the token after which nothing is left; one that
// GnuTLS does not take is a *SyntaxError.
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
	p := &Policy{profile: l.profile, noCRL: l.options["VERIFY_DISABLE_CRL_CHECKS"], SessionHash: l.options["FORCE_SESSION_HASH"] || sys.forceEMS, all: r,
		Versions: []string{}, Suites: []string{}, Groups: []string{}, Added: []Note{}, Unavailable: []Note{}, NoEffect: []Note{}}
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
	if err := p.addVersions(r); err != nil {
		return nil, err
	}
	p.addHybrid(r, l, sys)
	if !p.allSchemes() {
		p.NoEffect = append(p.NoEffect, Note{Token: "SIGN", Why: "Go offers peers all its signature algorithms; one that signs with another than the allowed ones is refused at the end of the handshake"})
	}
	p.NoEffect = append(p.NoEffect, Note{Token: "order", Why: "Go chooses by its own order among what is allowed"})
	return p, nil
}
