package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// The documents' examples are ones that load.
func TestExamplesLoad(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range strings.Split(string(text), "```toml\n")[1:] {
			found++
			example, _, _ := strings.Cut(b, "```")
			if _, err := Parse(path, []byte(example)); err != nil {
				t.Errorf("%s\n%v", example, err)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d examples were found", found)
	}
}

// Every key has an item in the section of its table: "- `key`, default …".
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := reflect.TypeFor[document]()
	for heading, table := range map[string]reflect.Type{
		"This host":        tables,
		"`[certificates]`": reflect.TypeFor[Certificates](),
		"`[kernel_tls]`":   reflect.TypeFor[KernelTLS](),
		"`[accept]`":       reflect.TypeFor[Accept](),
		"`[limits]`":       reflect.TypeFor[documentLimits](),
		"`[peers.NAME]`":   reflect.TypeFor[Peer](),
		"`[[tunnel]]`":     reflect.TypeFor[documentTunnel](),
		"`[clients.NAME]`": reflect.TypeFor[Client](),
		"`[intercept]`":    reflect.TypeFor[Intercept](),
		"`[web]`":          reflect.TypeFor[Web](),
		"`[auto]`":         reflect.TypeFor[Auto](),
		"`[telemetry]`":    reflect.TypeFor[Telemetry](),
	} {
		_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
		if !found {
			t.Errorf("docs/config.md has no section %s", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		items := make(map[string]bool)
		for _, m := range regexp.MustCompile("(?m)^- `([a-z_]+)`, (?:default|no default|required)").FindAllStringSubmatch(section, -1) {
			items[m[1]] = true
		}
		for _, key := range members(table) {
			own := regexp.MustCompile(`\n## .\[+` + regexp.QuoteMeta(key) + `[].]`)
			if table == tables && own.Match(text) {
				continue
			}
			if !items[key] {
				t.Errorf("docs/config.md has no item for %s in %s", key, heading)
			}
			delete(items, key)
		}
		for key := range items {
			t.Errorf("docs/config.md has an item for %s in %s, which has no such key", key, heading)
		}
	}
}

// docs/config.md says of every layout where its folder is, and of no others.
func TestReferenceOfLayouts(t *testing.T) {
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	item := regexp.MustCompile("(?m)^- `layout`, .*\n(?:  .*\n)*").FindString(string(text))
	var got []string
	for _, m := range regexp.MustCompile("`\"([a-z]+)\"`").FindAllStringSubmatch(item, -1) {
		got = append(got, m[1])
	}
	if want := layout.Names(); !slices.Equal(got, want) {
		t.Errorf("docs/config.md has the layouts %q; there are, in this order, %q", got, want)
	}
}
