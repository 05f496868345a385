package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// terminal is one that a person reads, with its size as it is now.
type terminal struct {
	columns, rows int
	moves         bool // its cursor can be moved, by ECMA-48's sequences
}

// terminalOf is the terminal behind w, if there is one. Serial lines and some containers do not know
// their size (0 by 0): they are taken to have the usual one.
func terminalOf(w io.Writer) (t terminal, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return t, false
	}
	t.columns, t.rows, _ = term.GetSize(int(f.Fd()))
	if t.columns <= 0 {
		t.columns = 80
	}
	if t.rows <= 0 {
		t.rows = 24
	}
	switch os.Getenv("TERM") {
	case "", "dumb", "unknown":
	default:
		t.moves = true
	}
	return t, true
}

// columns is the width that text for w has to keep to; 0: any.
func columns(w io.Writer) int {
	t, _ := terminalOf(w)
	return t.columns
}

// say writes a message to a person: what goes on, or what is wrong.
func say(w io.Writer, message string) {
	io.WriteString(w, strings.Join(wrapped(message, columns(w)), "\n")+"\n")
}

// wrapped is a message in lines. Those after the first are indented: those that the message has, and
// further, to tell them apart, those that the terminal's width makes.
func wrapped(message string, columns int) []string {
	own := strings.Split("sluice: "+strings.TrimSpace(tidy(message)), "\n")
	lead, rest := "", "  "
	if len(own) > 1 {
		rest = "    "
	}
	var lines []string
	for _, line := range own {
		for _, part := range wrap(line, columns-len(rest)) {
			lines = append(lines, lead+part)
			lead = rest
		}
		lead = "  "
	}
	return lines
}

// field writes a line of a list of names and values, wrapped beside its name.
func field(w io.Writer, name, value string) {
	const indent = 12
	margin := fmt.Sprintf("  %-*s", indent-2, name)
	for _, line := range wrap(oneLine(value), columns(w)-indent) {
		fmt.Fprintln(w, margin+line)
		margin = strings.Repeat(" ", indent)
	}
}

// leastWrap is the narrowest column that is worth breaking lines for.
const leastWrap = 20

// wrap breaks text at spaces into lines of at most columns cells where that is possible.
func wrap(text string, columns int) []string {
	if columns < leastWrap {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && runewidth.StringWidth(line)+1+runewidth.StringWidth(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}
