package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The example of the reference is one that loads.
func TestExampleLoads(t *testing.T) {
	const reference = "../../docs/config.md"
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```toml\n")[1:]
	if len(blocks) == 0 {
		t.Fatalf("%s has no example", reference)
	}
	for _, b := range blocks {
		example, _, _ := strings.Cut(b, "```")
		if _, err := Parse(reference, []byte(example)); err != nil {
			t.Errorf("%s\n%v", example, err)
		}
	}
}

// The configuration that `make install` installs loads, as it is and with every setting in it taken into use.
func TestSampleLoads(t *testing.T) {
	const sample = "../../docs/sluice.toml"
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(sample, text); err != nil {
		t.Error(err)
	}
	settings := regexp.MustCompile(`(?m)^#(\S)`)
	used := settings.ReplaceAll(text, []byte("$1"))
	c, err := Parse(sample, used)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Peers) != 1 || len(c.Clients) != 1 {
		t.Errorf("%d peers and %d clients in\n%s", len(c.Peers), len(c.Clients), used)
	}
}

// Every key has its heading in the reference.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []reflect.Type{reflect.TypeFor[document](), reflect.TypeFor[Certificates](), reflect.TypeFor[KernelTLS](), reflect.TypeFor[documentLimits](), reflect.TypeFor[Peer](), reflect.TypeFor[documentTunnel](), reflect.TypeFor[Client](), reflect.TypeFor[Intercept]()} {
		for _, key := range members(table) {
			if !strings.Contains(string(text), "`"+key+"`") && !strings.Contains(string(text), "["+key) && !strings.Contains(string(text), "[["+key+"]]") {
				t.Errorf("docs/config.md says nothing of %s of %v", key, table)
			}
		}
	}
}
