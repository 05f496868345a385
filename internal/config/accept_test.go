package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A peer's own list replaces the host's, and what a peer does not set is the host's.
func TestAccepted(t *testing.T) {
	cfg, err := Parse("f.toml", []byte(`
[accept]
folders = ["/srv/guests"]
networks = []
[peers.b.accept]
folders = ["/srv/b"]
[peers.c]
`))
	if err != nil {
		t.Fatal(err)
	}
	for peer, folder := range map[string]string{"b": "/srv/b", "c": "/srv/guests", "": "/srv/guests"} {
		a := cfg.Accepted(peer).WithDefaults()
		if !slices.Equal(a.Folders, []string{folder}) || a.Networks == nil || a.Bridges != nil || !slices.Contains(a.CharTypes, "pty") {
			t.Errorf("%q: %+v", peer, a)
		}
	}
}

// The reference has the defaults that hold.
func TestAcceptReference(t *testing.T) {
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## `[accept]`\n")
	section, _, _ = strings.Cut(section, "\n## ")
	section = strings.Join(strings.Fields(section), " ")
	defaults := reflect.ValueOf(acceptDefaults)
	for i := range defaults.NumField() {
		key := defaults.Type().Field(i).Tag.Get("toml")
		list := defaults.Field(i).Interface().([]string)
		switch {
		case key == "firmware":
			for _, folder := range list {
				if !strings.Contains(section, "`"+folder+"`") {
					t.Errorf("firmware: %s is not told", folder)
				}
			}
			continue
		case key == "char_files":
			continue // in words
		}
		want := "- `" + key + "`, default `[\"" + strings.Join(list, "\", \"") + "\"]`."
		if len(list) == 0 {
			want = "- `" + key + "`, default: "
		}
		if !strings.Contains(section, want) {
			t.Errorf("docs/config.md does not say %s", want)
		}
	}
}
