package tlsconf

import (
	"strings"
	"testing"
)

func TestRulesMatch(t *testing.T) {
	id := Identity{
		DNS: []string{"Host-B.example.org", "*.wild.example.org"},
		URI: []string{"spiffe://site/kvm/host-b"},
		IP:  []string{"192.0.2.7", "2001:db8::7"},
		DN:  `C=GB,O=Red\, Hat,CN=host-b`,
	}
	tests := []struct {
		rule string
		want bool
	}{
		{"host-b.example.org", true},
		{"HOST-B.EXAMPLE.ORG.", true},
		{"host-?.example.org", true},
		{"host-??.example.org", false},
		{"*.example.org", true},
		{"*", true},
		{"host-b", false},
		{"example.org", false},
		{"host-b.example.org.evil", false},
		{"a.wild.example.org", false}, // the certificate's wildcard is not ours
		{"\\*.wild.example.org", false},
		{"*.wild.example.org", true},
		{"192.0.2.7", true},
		{"::ffff:192.0.2.7", true},
		{"192.0.2.8", false},
		{"2001:0db8:0::7", true},
		{"spiffe://site/kvm/*", true},
		{"spiffe://SITE/kvm/*", false},
		{"spiffe://site/kvm", false},
		{"https://a?b=c", false},
		{`C=GB,O=Red\, Hat,CN=host-b`, true},
		{`CN=host-b,O=Red\, Hat,C=GB`, false},
		{"C=GB,*,CN=host-?", true},
		{"*CN=host-b", true},
		{"CN=host-b", false},
		{"c=gb,*", false},
		{"*=*", true},
	}
	for _, tt := range tests {
		got, ok := rules(t, "nobody.invalid", tt.rule).Match(id)
		if ok != tt.want || ok && got != tt.rule {
			t.Errorf("rule %q: got %q, %v; want %v", tt.rule, got, ok, tt.want)
		}
	}
}

func TestEmptyRulesDenyEveryone(t *testing.T) {
	for _, rs := range []Rules{{}, rules(t)} {
		if _, ok := rs.Match(Identity{DNS: []string{"a"}, DN: "CN=a"}); ok || !rs.Empty() {
			t.Error("an empty list let somebody in")
		}
	}
	if _, ok := rules(t, "*", "*=*", "*://*").Match(Identity{}); ok {
		t.Error("a certificate without a name was let in")
	}
}

func TestParseRulesRefuses(t *testing.T) {
	for _, bad := range []string{"", " ", " a", "a ", "a b", "10.0.0.*", "10.0.0.?", "192.0.2.0/24", "a:b", "a,b", "a@b", "C = GB, O = Site, CN = b", "/C=GB/O=Site/CN=b"} {
		if _, err := ParseRules([]string{"good", bad}); err == nil || !strings.Contains(err.Error(), "rule ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestRulesThatAnyoneMeets: * is whoever has a certificate, not only whoever has a DNS name.
func TestRulesThatAnyoneMeets(t *testing.T) {
	for _, id := range []Identity{{DNS: []string{"a"}}, {URI: []string{"spiffe://site/a"}}, {IP: []string{"192.0.2.1"}}, {DN: "CN=a"}} {
		if _, ok := rules(t, "*").Match(id); !ok {
			t.Errorf("%v is kept out", id)
		}
	}
}

// TestHint: a distinguished name as other programs print it is told for what it is.
func TestHint(t *testing.T) {
	id := Identity{DN: `C=GB,O=Red\, Hat,EMAIL=a@b,CN=host-b`}
	for _, rule := range []string{`CN=host-b,EMAIL=a@b,O=Red\, Hat,C=GB`, `CN=host-b, emailAddress=a@b, O=Red\, Hat, C=GB`, `c=GB,o=Red\, Hat,email=a@b,cn=host-b`} {
		rs := rules(t, "x", rule)
		if _, ok := rs.Match(id); ok || !strings.Contains(rs.Hint(id), rule[:9]) || !strings.Contains(rs.Hint(id), "host-b\"") {
			t.Errorf("%s: %s", rule, rs.Hint(id))
		}
		if err := (&NameError{Got: id, Expected: rs}).Error(); !strings.Contains(err, "write it as libvirt does") {
			t.Error(err)
		}
	}
	for _, rule := range []string{"x", "CN=host-c,O=x,C=GB", "C=GB,*"} {
		if hint := rules(t, rule).Hint(id); hint != "" {
			t.Errorf("%s: %s", rule, hint)
		}
	}
	if _, err := ParseRules([]string{`C=GB,O=a\, b = c,CN=d`}); err != nil {
		t.Errorf("an equals sign with spaces in a value: %v", err)
	}
	for form, want := range map[string]string{"C = GB, O = Site, CN = b": "C=GB,O=Site,CN=b", "/C=GB/O=Site/CN=b": "C=GB,O=Site,CN=b",
		"subject=C = GB, O = Site, CN = b": "C=GB,O=Site,CN=b", "subject= /C=GB/O=Site/CN=b": "C=GB,O=Site,CN=b", "subject=C=GB,O=Site,CN=b": "C=GB,O=Site,CN=b"} {
		if _, err := ParseRules([]string{form}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", form, err)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"?", "", false}, {"?", "ü", true}, {"??", "ü", false},
		{"a*b*c", "a--b--b--c", true}, {"a*b*c", "a--b--b--", false}, {"**a**", "xax", true}, {"*a", "aab", false},
		{strings.Repeat("*a", 200) + "b", strings.Repeat("a", 4096), false}, // polynomial, not exponential
	} {
		if got := glob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("glob(%.20q, %.20q) = %v", tt.pattern, tt.s, got)
		}
	}
}
