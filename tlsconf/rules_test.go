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
	for _, bad := range []string{"", " ", " a", "a ", "a b", "10.0.0.*", "10.0.0.?", "192.0.2.0/24", "a:b", "a,b", "a@b"} {
		if _, err := ParseRules([]string{"good", bad}); err == nil || !strings.Contains(err.Error(), "rule ") {
			t.Errorf("%q: %v", bad, err)
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
