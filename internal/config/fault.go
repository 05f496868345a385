package config

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with a configuration. Load joins all it found.
type Fault struct {
	File   string
	Line   int    // from 1; 0: the fault has no line, as with a key that is missing
	Column int    // from 1; 0: the whole line
	Key    string // dotted, such as limits.idle_timeout; may be empty
	Reason string // what is wrong and what to do
}

func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
		if f.Column > 0 {
			fmt.Fprintf(&b, ":%d", f.Column)
		}
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Reason)
	return b.String()
}
