package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/tlsconf"
)

const fleet = `
[peers."*.Example.org"]
address = ":16600"
access = "read-only"
priority = "SECURE256"
hosts = ["KVM1.example.org"]
accept.networks = ["guests"]

[peers."*.*.example.org"]
[peers."*.rack1.example.org"]
tls = "yes"

[peers."odd.example.org"]
address = "192.0.2.9"
`

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPatternOf(t *testing.T) {
	c := parsed(t, fleet)
	label := strings.Repeat("x", 50)
	for host, want := range map[string]string{
		"kvm7.example.org":           "*.example.org",
		"kvm7.rack1.example.org":     "*.rack1.example.org",
		"kvm7.rack2.example.org":     "*.*.example.org",
		"a.b.rack1.example.org":      "",
		"example.org":                "",
		"example.org.attacker.net":   "",
		"kvm7.example.org.":          "", // as no HostKey has it
		"KVM7.example.org":           "",
		"*.example.org":              "",
		"kvm*.example.org":           "",
		"-kvm7.example.org":          "",
		".example.org":               "",
		"kvm7..example.org":          "",
		"kvm7 .example.org":          "",
		"kvm7/../..example.org":      "",
		"192.0.2.7":                  "",
		"xn--bcher-kva.example.org":  "*.example.org",
		"bücher.example.org":         "",
		label + ".example.org":       "*.example.org",
		label + label + ".example.o": "",
		label + "xxx.example.org":    "", // names a folder, of at most 64
		"":                           "",
	} {
		if got := c.PatternOf(host); got != want {
			t.Errorf("%q goes by %q, not %q", host, got, want)
		}
	}
}

func TestPeerOfAPattern(t *testing.T) {
	c := parsed(t, fleet)
	p, ok := c.Peer("kvm7.example.org")
	if !ok || p.Table() != "*.example.org" || p.Address != "kvm7.example.org:16600" || !slices.Equal(p.Names, []string{"kvm7.example.org"}) ||
		p.Access != AccessReadOnly || p.LibvirtURI != "qemu+tls://kvm7.example.org/system" || p.WithoutSluice != WithoutNo {
		t.Errorf("%+v", p)
	}
	if a := c.Accepted("kvm7.example.org"); !slices.Equal(a.Networks, []string{"guests"}) {
		t.Errorf("it may have the networks %q", a.Networks)
	}
	if p, ok := c.Peer("odd.example.org"); !ok || p.Table() != "odd.example.org" || p.Access != "" || p.Address != "192.0.2.9:16514" {
		t.Errorf("a table of the host's own does not count: %+v", p)
	}
	if p, ok := c.Peers["kvm1.example.org"]; !ok || p.Address != "kvm1.example.org:16600" || p.Access != AccessReadOnly {
		t.Errorf("a host that is named there is no peer: %+v", p)
	}
	if p, ok := c.Peer("kvm7.example.net"); ok {
		t.Errorf("%+v", p)
	}
	if got, want := c.PeerNames(), []string{"*.*.example.org", "*.example.org", "*.rack1.example.org", "kvm1.example.org", "odd.example.org"}; !slices.Equal(got, want) {
		t.Errorf("peers: %q", got)
	}
	policies, err := c.Policies()
	if err != nil || policies.Peers["*.example.org"].Source != "SECURE256" {
		t.Errorf("its policy: %v", err)
	}
}

// Who has a certificate is one host, or nobody.
func TestHostIn(t *testing.T) {
	c := parsed(t, fleet)
	for _, x := range []struct {
		dns  []string
		want string
		says string
	}{
		{dns: []string{"kvm7.example.org"}, want: "kvm7.example.org"},
		{dns: []string{"KVM7.example.org", "kvm7.Example.org."}, want: "kvm7.example.org"},
		{dns: []string{"kvm7", "kvm7.example.net", "kvm7.example.org"}, want: "kvm7.example.org"},
		{dns: []string{"kvm7.example.org", "kvm8.example.org"}, says: "2 names"},
		{dns: []string{"kvm7.example.org", "kvm7.rack1.example.org"}, says: "2 names"},
		{dns: []string{"*.example.org"}, says: "*.example.org, which any host could have"},
		{dns: []string{"*.rack9.example.org"}, says: "any host"},
		{dns: []string{"kvm7.example.org", "*.example.org"}, says: "any host"},
		{dns: []string{"kvm7.example.org", "*.example.net"}, says: "any host"},
		{dns: []string{"kvm*.example.org"}, says: "any host"},
		{dns: []string{"*.example.net"}},
		{dns: []string{"example.org", "kvm7.example.net"}},
		{},
	} {
		got, err := c.HostIn(tlsconf.Identity{DNS: x.dns, DN: "CN=kvm7.example.org", IP: []string{"192.0.2.7"}, URI: []string{"spiffe://example.org/kvm7.example.org"}})
		if got != x.want || (err != nil) != (x.says != "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%q: %q, %v", x.dns, got, err)
		}
	}
	if got, err := parsed(t, "[peers.b]\n").HostIn(tlsconf.Identity{DNS: []string{"*.example.org"}}); got != "" || err != nil {
		t.Errorf("without patterns: %q, %v", got, err)
	}
}

func TestPatternFaults(t *testing.T) {
	for text, want := range map[string][]string{
		`[peers."*"]`:                {"f:1", "would be every host"},
		`[peers."*."]`:               {"no domain"},
		`[peers."*.*"]`:              {"would be every host"},
		`[peers."kvm*.example.org"]`: {"not a whole label"},
		`[peers."kvm.*.org"]`:        {"not a whole label"},
		`[peers."*.*kvm.org"]`:       {"not a whole label"},
		`[peers."*.example.org."]`:   {"ends with a dot"},
		`[peers."*.bücher.org"]`:     {"xn--"},
		`[peers."*..org"]`:           {"no domain"},
		`[peers."*.2.3.4"]`:          {"of addresses"},
		"[peers.\"*.example.org\"]\n[peers.\"*.EXAMPLE.org\"]": {"twice"},

		"[peers.\"*.example.org\"]\naddress = \"host:16514\"":                                         {"f:2", "one host's", ":16600"},
		"[peers.\"*.example.org\"]\naddress = \"192.0.2.1\"":                                          {"one host's"},
		"[peers.\"*.example.org\"]\naddress = \":0\"":                                                 {"address"},
		"[peers.\"*.example.org\"]\nnames = [\"*\"]":                                                  {"f:2", "names", "one host's"},
		"[peers.\"*.example.org\"]\naliases = []":                                                     {"aliases", "one host's"},
		"[peers.\"*.example.org\"]\nintercept = [\"192.0.2.1\"]":                                      {"intercept", "one host's"},
		"[peers.\"*.example.org\"]\nlibvirt_uri = \"qemu+tls://a/system\"":                            {"libvirt_uri", "one host's"},
		"[peers.\"*.example.org\"]\nwithout_sluice = \"plain\"":                                       {"without_sluice", "said for each host"},
		"[peers.\"*.example.org\"]\naccess = \"all\"":                                                 {"f:2", "access"},
		"[peers.\"*.example.org\"]\npriority = \"NORMAL:+NOTHING\"":                                   {"f:2", "priority"},
		"[peers.\"*.example.org\"]\naccept.folders = [\"here\"]":                                      {"f:2", "accept"},
		"[peers.\"*.example.org\"]\nhosts = [\"kvm1.example.net\"]":                                   {"f:2", "is no host of"},
		"[peers.\"*.example.org\"]\nhosts = [\"kvm1.example.org\", \"KVM1.example.org\"]":             {"twice"},
		"[peers.\"*.example.org\"]\nhosts = [\"kvm/1.example.org\"]":                                  {"letters, digits"},
		"[peers.\"*.example.org\"]\nhosts = [\"b.example.org\"]\n[peers.\"b.example.org\"]":           {"f:2", "table of its own"},
		"[peers.\"*.*.org\"]\nhosts = [\"b.a.org\"]\n[peers.\"*.a.org\"]":                             {"goes by", "*.a.org"},
		"[peers.b]\nhosts = [\"c\"]":                                                                  {"f:2", "whole domain"},
		"[peers.\"*.example.org\"]\n[certificates]\nspiffe = \"unix:///run/agent.sock\"":              {"f:1", "not for DNS names"},
		"[intercept]\n[peers.\"*.example.org\"]":                                                      {"peers_alone = true"},
		"[intercept]\npeers_alone = true\n[peers.\"*.example.org\"]\nwithout_sluice = \"native-tls\"": {"leave out one"},
	} {
		_, err := Parse("f", []byte(text))
		if err == nil {
			t.Errorf("%s\nis taken", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s\n%v\nlacks %q", text, err, w)
			}
		}
		if n := strings.Count(err.Error(), "\n"); n > 0 {
			t.Errorf("%s\nhas %d faults:\n%v", text, n+1, err)
		}
	}
	parsed(t, "[intercept]\npeers_alone = true\n[peers.\"*.example.org\"]\nhosts = [\"kvm1.example.org\"]\n")
	parsed(t, "[peers.\"*.example.org\"]\nwithout_sluice = \"native-tls\"\n")
}
