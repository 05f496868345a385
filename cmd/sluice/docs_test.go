package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The reference has an item for every flag of every command, and none for what is no flag.
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
		if !cmd.Runnable() {
			continue // it only holds others
		}
		// Arguments begin with no small letter, names of commands do.
		heading := regexp.MustCompile("(?m)^## `" + cmd.CommandPath() + "(?: [^a-z`][^`]*)?`$").FindIndex(text)
		if heading == nil {
			t.Errorf("docs/cli.md has no heading for %s", cmd.CommandPath())
			continue
		}
		section, _, _ := strings.Cut(string(text[heading[1]:]), "\n## ")
		documented := documentedFlags(section)
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !documented[f.Name] && !(cmd.Name() == "evacuate" && ofMigrate(f)) {
				t.Errorf("docs/cli.md has no item for --%s of %s", f.Name, cmd.CommandPath())
			}
			delete(documented, f.Name)
		})
		for name := range documented {
			t.Errorf("docs/cli.md has an item for --%s of %s, which has no such flag", name, cmd.CommandPath())
		}
	}
}

// ofMigrate says whether a flag is the same as with sluice migrate, whose section tells of it.
func ofMigrate(f *pflag.Flag) bool {
	with := newMigrate(streams{}).Flags().Lookup(f.Name)
	return with != nil && with.Usage == f.Usage
}

// documentedFlags are those that a section has items for: "- `--ca FILE`, `--cert FILE`: …".
func documentedFlags(section string) map[string]bool {
	flags := make(map[string]bool)
	for _, item := range regexp.MustCompile("(?m)^- (?:`--[^`]*`(?:, )?)+:").FindAllString(section, -1) {
		for _, flag := range regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(item, -1) {
			flags[flag[1]] = true
		}
	}
	return flags
}

// Commands that the documents show are ones that there are, with flags that they have.
func TestDocumentedCommands(t *testing.T) {
	command := regexp.MustCompile(`^(?:sudo )?sluice ((?:[a-z]+ ?)+)(.*)`)
	flag := regexp.MustCompile(`(?:^| )--([a-z][a-z-]*)`)
	found := 0
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(documents, "../../README.md", "../../CONTRIBUTING.md", "../../bench/NOTES.md") {
		for _, line := range shown(t, path) {
			found++
			m := command.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("%s: no command in %q", path, line)
				continue
			}
			root := newRoot(streams{})
			cmd, _, err := root.Find(strings.Fields(m[1]))
			if err != nil || cmd == root {
				t.Errorf("%s: no command in %q: %v", path, line, err)
				continue
			}
			rest, _, _ := strings.Cut(m[2], " | ")
			rest, _, _ = strings.Cut(rest, " -- ")
			for _, f := range flag.FindAllStringSubmatch(rest, -1) {
				if !knows(cmd, f[1]) {
					t.Errorf("%s: %s has no --%s: %q", path, cmd.CommandPath(), f[1], line)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

func knows(cmd *cobra.Command, flag string) bool {
	cmd.InitDefaultHelpFlag()
	return cmd.Flags().Lookup(flag) != nil || cmd.InheritedFlags().Lookup(flag) != nil
}

// shown are a document's commands of sluice that stand in indented blocks.
func shown(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if block, ok := strings.CutPrefix(line, "    "); ok {
			command, _, _ := strings.Cut(strings.TrimSpace(block), " #")
			words := strings.Fields(strings.TrimPrefix(command, "sudo "))
			if len(words) > 1 && words[0] == "sluice" && !strings.Contains(command, "═") {
				lines = append(lines, command)
			}
		}
	}
	return lines
}
