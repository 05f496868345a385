package tlsconf

import (
	"fmt"
	"strings"
)

// maxPriority is the longest priority string, in bytes, and maxTokens the most tokens in one.
// GnuTLS reads lines of 2 KiB from its file, and leaves out without a word what comes after the
// 128th token.
const (
	maxPriority = 8192
	maxTokens   = 128
)

// token is one element of a priority string.
type token struct {
	text   string // as written
	column int    // from 1
}

// split breaks a string at its colons. Spaces after a colon are passed over, other ones are part of
// a token.
func split(s string) []token {
	var out []token
	at := 0
	for {
		end := strings.IndexByte(s[at:], ':')
		if end < 0 {
			return append(out, token{s[at:], at + 1})
		}
		out = append(out, token{s[at : at+end], at + 1})
		at += end + 1
		for at < len(s) && s[at] == ' ' {
			at++
		}
	}
}

// parse applies the tokens to empty lists. The error is a *SyntaxError without its String and From.
func parse(tokens []token, sys *System) (*lists, error) {
	l := &lists{options: make(map[string]bool)}
	keyword := false
	if strings.EqualFold(tokens[0].text, "NONE") {
		tokens, keyword, l.ownGroups = tokens[1:], true, true
	} else {
		l.versions = clone(versionsAll)
		l.signs = clone(signsDefault)
		l.groups = clone(groupsNormal)
		l.ctypeClient, l.ctypeServer = []string{"X509"}, []string{"X509"}
	}
	for _, t := range tokens {
		word := strings.ToUpper(t.text)
		if lev, ok := levels[word]; ok {
			l.level(lev, keyword)
			keyword = true
			continue
		}
		if word == "" {
			return nil, unknown(t, "an empty token")
		}
		var err error
		switch word[0] {
		case '+':
			if lev, ok := levels[word[1:]]; ok {
				l.level(lev, true)
				continue
			}
			err = l.element(t, word[1:], true, sys)
		case '-', '!':
			err = l.element(t, word[1:], false, sys)
		case '%':
			err = l.option(t, t.text[1:]) // these alone are case-sensitive
		default:
			err = unknown(t, fmt.Sprintf("%q is no level; tokens that are none begin with +, -, ! or %%", t.text))
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

func unknown(t token, reason string) *SyntaxError {
	return &SyntaxError{Token: t.text, Column: t.column, Reason: reason, Nearest: nearest(t.text)}
}

// element adds or takes away what a token names. The order of the cases is GnuTLS's: SHA1 is a MAC
// before it is anything else, and KX-ALL is told by its beginning, whatever follows.
func (l *lists) element(t token, word string, add bool, sys *System) error {
	one := removeAll
	if add {
		one = addAll
	}
	// all adds a whole list; taking it away takes away everything.
	all := func(to *[]string, list []string) {
		if add {
			*to = addAll(*to, list...)
		} else {
			*to = nil
		}
	}
	exists, isCipher := ciphers[word]
	usable, isKX := kxs[word]
	prefix := func(p string) bool { return strings.HasPrefix(word, p) }
	switch {
	case macs[word]:
		l.macs = one(l.macs, word)
	case isCipher:
		if exists {
			l.ciphers = one(l.ciphers, word)
		} else {
			l.note(t, "GnuTLS has no such cipher any more, and passes over its name")
		}
	case isKX:
		if usable {
			l.kxs = one(l.kxs, word)
		} else {
			l.note(t, "GnuTLS has no such key exchange any more, and passes over its name")
		}
	case prefix("VERS-TLS-ALL"):
		l.versions = one(l.versions, versionsTLS...)
	case prefix("VERS-DTLS-ALL"):
		if add {
			l.versions = addAll(l.versions, versionsDTLS...)
		} else {
			l.versions = removeAll(l.versions, versionsNoDTLS...)
		}
	case prefix("VERS-ALL"):
		all(&l.versions, versionsAll)
	case prefix("VERS-"):
		v := word[len("VERS-"):]
		if !versions[v] {
			return unknown(t, fmt.Sprintf("there is no protocol version %q", v))
		}
		l.versions = one(l.versions, v)
	case prefix("COMP-"):
		l.note(t, "there is no compression any more")
	case prefix("CURVE-ALL"), prefix("GROUP-ALL"):
		all(&l.groups, groupsNormal)
		l.ownGroups = !add
	case prefix("CURVE-"):
		name := word[len("CURVE-"):]
		g, ok := curves[name]
		if !ok || !sys.curveEnabled(name) {
			return unknown(t, fmt.Sprintf("there is no curve %q", name))
		}
		if g != "" {
			l.groups = one(l.groups, g)
		} else {
			l.note(t, "that curve is no key exchange group")
		}
	case prefix("GROUP-DH-ALL"):
		l.groups = one(l.groups, groupsDH...)
	case prefix("GROUP-EC-ALL"):
		l.groups = one(l.groups, groupsEC...)
		l.ownGroups = !add
	case prefix("GROUP-GOST-ALL"):
		l.groups = one(l.groups, groupsGOST...)
	case prefix("GROUP-"):
		g := word[len("GROUP-"):]
		if _, ok := groups[g]; !ok {
			return unknown(t, fmt.Sprintf("there is no group %q", g))
		}
		l.noHybrid = l.noHybrid || g == hybrid && !add
		l.groups = one(l.groups, g)
	case prefix("CTYPE-"):
		return l.ctype(t, word[len("CTYPE-"):], add)
	case prefix("SIGN-ALL"):
		all(&l.signs, signsDefault)
	case prefix("SIGN-GOST-ALL"):
		all(&l.signs, signsGOST)
	case prefix("SIGN-"):
		s := word[len("SIGN-"):]
		if _, ok := signs[s]; !ok {
			return unknown(t, fmt.Sprintf("there is no signature algorithm %q", s))
		}
		l.signs = one(l.signs, s)
	case prefix("MAC-ALL"):
		all(&l.macs, macsNormal)
	case prefix("MAC-GOST-ALL"):
		all(&l.macs, macsGOST)
	case prefix("CIPHER-ALL"):
		all(&l.ciphers, ciphersNormal)
	case prefix("CIPHER-GOST-ALL"):
		all(&l.ciphers, ciphersGOST)
	case prefix("KX-ALL"):
		all(&l.kxs, kxSecure)
	case prefix("KX-GOST-ALL"):
		all(&l.kxs, kxGOST)
	case prefix("MAC-"), prefix("CIPHER-"), prefix("KX-"):
		_, name, _ := strings.Cut(t.text, "-")
		l.note(t, fmt.Sprintf("GnuTLS passes over this without a word; to name one write %s%s", t.text[:1], name))
	case prefix("GOST"):
		l.groups = one(l.groups, groupsGOST...)
		all(&l.signs, signsGOST)
		all(&l.macs, macsGOST)
		all(&l.ciphers, ciphersGOST)
		all(&l.kxs, kxGOST)
	default:
		return unknown(t, fmt.Sprintf("%q is no version, cipher, MAC, key exchange, group, curve or signature algorithm", t.text[1:]))
	}
	return nil
}

// ctype is the certificate types: X.509, which is the only one here, and raw public keys.
func (l *lists) ctype(t token, name string, add bool) error {
	both := []*[]string{&l.ctypeClient, &l.ctypeServer}
	switch {
	case strings.HasPrefix(name, "ALL"):
		for _, c := range both {
			if add {
				*c = addAll(*c, "X509", "RAWPK")
			} else {
				*c = nil
			}
		}
		return nil
	case strings.HasPrefix(name, "CLI-"):
		both, name = both[:1], name[len("CLI-"):]
	case strings.HasPrefix(name, "SRV-"):
		both, name = both[1:], name[len("SRV-"):]
	case strings.HasPrefix(name, "OPENPGP"):
		l.note(t, "GnuTLS has no OpenPGP certificates any more, and passes over this")
		return nil
	}
	if len(both) == 1 && strings.HasPrefix(name, "ALL") {
		if add {
			*both[0] = addAll(*both[0], "X509", "RAWPK")
		} else {
			*both[0] = nil
		}
		return nil
	}
	switch name {
	case "X.509", "X509":
		name = "X509"
	case "RAWPK":
	default:
		return unknown(t, fmt.Sprintf("there is no certificate type %q", name))
	}
	for _, c := range both {
		if add {
			*c = addAll(*c, name)
		} else {
			*c = removeAll(*c, name)
		}
	}
	return nil
}
