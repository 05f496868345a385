package tlsconf

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The corpora in testdata/fuzz are what fuzzing has found to be different from each other.

func FuzzParsePriority(f *testing.F) {
	for _, s := range byHand {
		f.Add(s, "")
	}
	for _, text := range systemCases {
		f.Add("@LIBVIRT,SYSTEM:-VERS-TLS1.2", text)
	}
	f.Fuzz(func(t *testing.T, priority, system string) {
		sys, err := ParseSystem("system", []byte(system))
		if err != nil {
			return
		}
		start := time.Now()
		p, err := ParsePriority(priority, sys)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("took %v", d)
		}
		var syntax *SyntaxError
		var unsupported *UnsupportedError
		switch {
		case err == nil:
			if len(p.Versions) == 0 || len(p.Suites) == 0 || p.min > p.max || p.Source != priority {
				t.Errorf("a policy that allows nothing: %+v", p)
			}
			if has(p.Versions, "TLS1.3") && (len(p.suites13) == 0 || len(p.groups) == 0) {
				t.Errorf("TLS 1.3 without suites or groups: %+v", p)
			}
			for _, id := range append(p.suites12, p.suites13...) {
				if !goSuites[id] {
					t.Errorf("suite %x is not Go's", id)
				}
			}
		case errors.As(err, &syntax):
			if c := syntax.Column; c < 0 || c > len(syntax.String)+1 || c > 0 && !strings.HasPrefix(syntax.String[c-1:], syntax.Token) {
				t.Errorf("%q is not at column %d of %q", syntax.Token, c, syntax.String)
			}
		case errors.As(err, &unsupported):
			if c := unsupported.Column; c < 0 || c > 0 && !strings.HasPrefix(unsupported.String[c-1:], unsupported.Token) {
				t.Errorf("%q is not at column %d of %q", unsupported.Token, c, unsupported.String)
			}
		default:
			t.Errorf("another kind of error: %v", err)
		}
	})
}

func FuzzParseSystem(f *testing.F) {
	for _, text := range systemCases {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSystem("system", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "system:") {
				t.Errorf("an error without the file's name: %v", err)
			}
			return
		}
		for _, w := range s.Warnings {
			if !strings.HasPrefix(w, "system:") {
				t.Errorf("a warning without the file's name: %s", w)
			}
		}
		for _, list := range [][]string{s.ciphers, s.macs, s.kxs, s.groups, s.versions, s.curves, s.hashes, s.signs, s.disabledCiphers} {
			if len(list) > len(ciphers)+len(signs) {
				t.Errorf("a list of %d", len(list))
			}
		}
		s.DefaultPriority()
		s.generated()
	})
}

func FuzzDN(f *testing.F) {
	for _, n := range names {
		f.Add(marshalName(f, n.rdns))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		dn, err := formatDN(der)
		if err != nil {
			return
		}
		if strings.IndexByte(dn, 0) >= 0 {
			t.Errorf("a NUL in %q", dn)
		}
		if len(dn) > 2*maxDNLen+2*len(der) {
			t.Errorf("%d bytes", len(dn))
		}
		// What was printed is one rule, and matches itself.
		if dn != "" && strings.TrimSpace(dn) == dn && !strings.ContainsAny(dn, "*?") && utf8.ValidString(dn) && !strings.Contains(dn, "://") {
			if _, ok := rules(t, dn).Match(Identity{DN: dn}); !ok {
				t.Errorf("%q does not match itself", dn)
			}
		}
	})
}

func FuzzRules(f *testing.F) {
	for _, r := range []string{"host-b.example.org", "*.example.org", "192.0.2.7", "spiffe://site/*", "C=GB,*,CN=?", "a*b*c?d"} {
		f.Add(r, "host-b.example.org")
	}
	f.Fuzz(func(t *testing.T, rule, name string) {
		rs, err := ParseRules([]string{rule})
		if err != nil {
			return
		}
		if len(rule) > 1000 || len(name) > 1000 {
			return
		}
		if _, ok := rs.Match(Identity{}); ok {
			t.Errorf("rule %q matches a certificate without a name", rule)
		}
		rs.Match(Identity{DNS: []string{name}, URI: []string{name}, IP: []string{name}, DN: name})
	})
}
