package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The reference has every command and every flag.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	cmds := newRoot(streams{}).Commands()
	for _, cmd := range cmds {
		cmds = append(cmds, cmd.Commands()...)
	}
	for _, cmd := range cmds {
		_, section, found := strings.Cut(string(text), "## `"+cmd.CommandPath())
		if !found {
			t.Errorf("docs/cli.md has no heading for %s", cmd.CommandPath())
		}
		section, _, _ = strings.Cut(section, "\n## ")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(section, "`--"+f.Name+"`") && !strings.Contains(section, "`--"+f.Name+" ") {
				t.Errorf("docs/cli.md says nothing of --%s of %s", f.Name, cmd.CommandPath())
			}
		})
	}
}
