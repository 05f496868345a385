package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A command's --help is a screen of a terminal as terminals have always been, and ends with an
// example. What does not fit there is left to `sluice help COMMAND`, which tells all, as the manual
// pages do.
const (
	helpWidth = 80
	helpRows  = 24
)

// helpColumn is where the text beside a flag or a command begins at most. Longer names have a line
// of their own.
const helpColumn = 28

func newHelp(io streams) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Tell all about a command",
		Example: "  sluice help migrate",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			of, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, c := range of.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return noSuchCommand(of, rest)
			}
			fmt.Fprint(io.out, wholeHelp(of))
			return nil
		},
	}
}

// showHelp is what --help does.
func showHelp(cmd *cobra.Command, _ []string) {
	io.WriteString(cmd.OutOrStdout(), screenHelp(cmd))
}

// screenHelp is all about a command if that fits a screen, else what is needed most.
func screenHelp(cmd *cobra.Command) string {
	if text := wholeHelp(cmd); strings.Count(text, "\n") <= helpRows {
		return text
	}
	about, _, _ := strings.Cut(strings.TrimSpace(cmd.Long), "\n\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage: %s\n", about, usage(cmd))
	commands := shownCommands(cmd)
	some, others := usual(commands, func(c *cobra.Command) bool { _, ok := c.Annotations[usualKey]; return ok })
	for _, c := range some {
		writeItem(&b, c.Name(), c.Short)
	}
	if len(others) > 0 {
		var names []string
		for _, c := range others {
			names = append(names, c.Name())
		}
		writeItem(&b, "Others", strings.Join(names, ", "))
	}
	flags, rare := usual(shownFlags(cmd), func(f *pflag.Flag) bool { _, ok := f.Annotations[usualKey]; return ok })
	for _, f := range flags {
		name, text := flagItem(f)
		text, _, _ = strings.Cut(text, ";")
		writeItem(&b, name, text)
	}
	more := "More"
	if len(rare) > 0 {
		more = "All options"
	}
	b.WriteString("\n" + more + ": " + strings.TrimSpace("sluice help "+strings.Join(strings.Fields(cmd.CommandPath())[1:], " ")) + "\nExamples:\n")
	room := helpRows - strings.Count(b.String(), "\n")
	for i, example := range examples(cmd) {
		if room -= 1 + strings.Count(example, "\n"); room < 0 && i > 0 {
			break
		}
		b.WriteString(example + "\n")
	}
	return b.String()
}

// wholeHelp is all about a command.
func wholeHelp(cmd *cobra.Command) string {
	var b strings.Builder
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	fmt.Fprintf(&b, "%s\n\nUsage: %s\n", strings.TrimSpace(about), usage(cmd))
	for _, c := range shownCommands(cmd) {
		writeItem(&b, c.Name(), c.Short)
	}
	for _, f := range shownFlags(cmd) {
		name, text := flagItem(f)
		writeItem(&b, name, text)
	}
	fmt.Fprintf(&b, "\nExamples:\n%s\n", strings.Trim(cmd.Example, "\n"))
	return b.String()
}

// usage is how a command is written.
func usage(cmd *cobra.Command) string {
	if len(shownCommands(cmd)) > 0 && !cmd.HasAvailableLocalFlags() || !cmd.HasParent() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

// examples are a command's, without what is said of them.
func examples(cmd *cobra.Command) (all []string) {
	whole := true
	for line := range strings.SplitSeq(strings.Trim(cmd.Example, "\n"), "\n") {
		switch text := strings.TrimSpace(line); {
		case text == "" || strings.HasPrefix(text, "#"):
			continue
		case whole:
			all = append(all, line)
		default:
			all[len(all)-1] += "\n" + line
		}
		whole = !strings.HasSuffix(line, "\\")
	}
	return all
}

func shownCommands(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, c)
		}
	}
	return all
}

func shownFlags(cmd *cobra.Command) (all []*pflag.Flag) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			all = append(all, f)
		}
	})
	return all
}

// usualKey marks the commands and flags that stand on the screen where there is no room for all.
const usualKey = "usual"

// markUsual marks flags that are there.
func markUsual(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := f.SetAnnotation(name, usualKey, []string{""}); err != nil {
			panic(err) // no such flag
		}
	}
}

// usual are those of which there is room for: those that are marked, or all if none is.
func usual[T any](all []T, marked func(T) bool) (some, others []T) {
	for _, t := range all {
		if marked(t) {
			some = append(some, t)
		} else {
			others = append(others, t)
		}
	}
	if some == nil {
		return all, nil
	}
	return some, others
}

// flagItem is how a flag is written, and what it does.
func flagItem(f *pflag.Flag) (name, text string) {
	value, text := pflag.UnquoteUsage(f)
	if name = strings.TrimRight("--"+f.Name+" "+value, " "); f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
	default:
		text += " (default " + f.DefValue + ")"
	}
	return name, text
}

// writeItem writes a name with a text beside it.
func writeItem(b *strings.Builder, name, text string) {
	head := "  " + name
	if runewidth.StringWidth(head)+2 > helpColumn {
		b.WriteString(head + "\n")
		head = ""
	}
	for _, line := range wrap(text, helpWidth-helpColumn) {
		b.WriteString(runewidth.FillRight(head, helpColumn) + line + "\n")
		head = ""
	}
}
