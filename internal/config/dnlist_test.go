package config

import (
	"testing"

	"github.com/virt-sluice/sluice/tlsconf"
)

// libvirt's list is about distinguished names: "*" is any of them, and a
// certificate's other names have no part in it.
func TestDNList(t *testing.T) {
	for _, c := range []struct {
		list []string
		dn   string
		want bool
	}{
		{nil, "CN=b", false},
		{[]string{}, "CN=b", false},
		{[]string{"*"}, "CN=b", true},
		{[]string{"*"}, "", false},
		{[]string{"C=GB,O=Site,*"}, "C=GB,O=Site,CN=b", true},
		{[]string{"C=GB,O=Site,*"}, "CN=b,O=Site,C=GB", false},
		{[]string{"CN=a", "CN=?"}, "CN=b", true},
		{[]string{"CN=b"}, "CN=B", false},
	} {
		rules, err := ParseDNList(c.list)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := rules.Match(tlsconf.Identity{DN: c.dn, DNS: []string{"b"}}); got != c.want {
			t.Errorf("%q and %q: %v", c.list, c.dn, got)
		}
	}
}
