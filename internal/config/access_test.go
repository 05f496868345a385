package config

import (
	"strings"
	"testing"
)

func TestAccess(t *testing.T) {
	for _, c := range []struct{ text, fault string }{
		{"[peers.b]\naccess = \"full\"\n[clients.ops]\nnames = [\"C=GB,O=Example,CN=ops\", \"ops.example.org\"]\naccess = \"read-only\"\n", ""},
		{"[peers.b]\naccess = \"all\"\n", `peers.b.access: "all" must be "migrate", "read-only" or "full"`},
		{"[clients.ops]\naccess = \"full\"\n", "clients.ops: names nobody"},
		{"[clients.ops]\nnames = [\"ops\"]\n", "clients.ops: may do nothing"},
		{"[clients.ops]\nnames = [\"ops\"]\naccess = \"root\"\n", "clients.ops.access"},
		{"[clients.ops]\nnames = [\" ops\"]\naccess = \"full\"\n", "clients.ops.names"},
		{"[clients.ops]\nnames = [\"ops\"]\nacess = \"full\"\n", "unknown key"},
	} {
		_, err := Parse("sluice.toml", []byte(c.text))
		switch {
		case c.fault == "" && err != nil:
			t.Errorf("%s\n%v", c.text, err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s\ngives %v, want %q", c.text, err, c.fault)
		}
	}
}
