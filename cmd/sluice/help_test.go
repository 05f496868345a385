package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
)

// allCommands are those that there are, without those of shells' completion.
func allCommands(t *testing.T) []*cobra.Command {
	t.Helper()
	root := newRoot(streams{})
	root.InitDefaultHelpCmd()
	all := []*cobra.Command{root}
	for i := 0; i < len(all); i++ {
		all[i].InitDefaultHelpFlag()
		all = append(all, all[i].Commands()...)
	}
	if len(all) < 20 {
		t.Fatalf("only %d commands were found", len(all))
	}
	return all
}

// Every command's --help fits a screen, and so does each line of what sluice help tells of it; both
// end with an example.
func TestHelpFits(t *testing.T) {
	for _, cmd := range allCommands(t) {
		path := cmd.CommandPath()
		if len(examples(cmd)) == 0 {
			t.Errorf("%s has no Example: --help is to end with one", path)
			continue
		}
		screen, whole := screenHelp(cmd), wholeHelp(cmd)
		if n := strings.Count(screen, "\n"); n > helpRows {
			t.Errorf("%s --help has %d lines, %d more than a screen: shorten the first paragraph of Long, or have markUsual name the flags that most people need\n%s", path, n, n-helpRows, screen)
		}
		for what, text := range map[string]string{path + " --help": screen, "help of " + path: whole} {
			for line := range strings.SplitSeq(text, "\n") {
				if n := runewidth.StringWidth(line); n > helpWidth {
					t.Errorf("%s has a line of %d columns, more than %d: %s", what, n, helpWidth, line)
				}
			}
			_, after, _ := strings.Cut(text, "\nExamples:\n")
			last := strings.Split(strings.TrimSuffix(after, "\n"), "\n")
			if !strings.HasPrefix(last[len(last)-1], "  ") {
				t.Errorf("%s does not end with an example:\n%s", what, text)
			}
		}
	}
}

// What the examples show can be typed: a shell splits it, and the command takes it.
func TestExamplesParse(t *testing.T) {
	for _, cmd := range allCommands(t) {
		for _, example := range examples(cmd) {
			example, _, _ = strings.Cut(example, " | ")
			example, _, _ = strings.Cut(example, " > ")
			if !strings.HasPrefix(strings.TrimSpace(example), "sluice ") {
				continue // another program's
			}
			out, err := exec.Command("bash", "-c", `sluice() { printf '%s\0' "$@"; }; `+example).Output()
			if err != nil {
				t.Errorf("%s: the shell does not take %q: %v", cmd.CommandPath(), example, err)
				continue
			}
			args := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
			if err := takes(args); err != nil {
				t.Errorf("%s: the example %q is not taken: %v", cmd.CommandPath(), example, err)
			}
		}
	}
}

// takes is what is wrong with a command line, short of running it.
func takes(args []string) error {
	root := newRoot(streams{})
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Traverse(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	words := cmd.Flags().Args()
	if at := cmd.ArgsLenAtDash(); at >= 0 && cmd.Name() == "bench" {
		words = words[at:]
	}
	if err := cmd.ValidateArgs(words); err != nil {
		return err
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return err
	}
	return cmd.ValidateFlagGroups()
}
