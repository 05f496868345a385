package config

import (
	"os"
	"reflect"
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
