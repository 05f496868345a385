package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/docs"
)

const explainHelp = `Say why a message comes, what has become of the guest, and what to do.

MESSAGE is what sluice or its log has said, whole or a part of it; without it,
standard input is read. A message is often a chain, whose links are explained
one by one, the most telling first. What libvirt or QEMU have said is not known
here.

Exit status: 0 explained, 1 no such message is known, 2 wrong use.`

const explainExamples = `  sluice explain 'nothing heard from host-b (host-b:16514) for 30s'
  sluice history --failed --limit 1 | sluice explain
  journalctl -u sluice -p warning -n 1 -o cat | sluice explain`

// maxExplained bounds what is read, in bytes; and how much is explained.
const (
	maxExplained = 1 << 20
	mostEntries  = 3
)

func newExplain(out streams) *cobra.Command {
	return &cobra.Command{
		Use:     "explain [MESSAGE]",
		Short:   "Say why a message comes, and what to do",
		Long:    explainHelp,
		Example: explainExamples,
		RunE: func(_ *cobra.Command, args []string) error {
			said := strings.Join(args, " ")
			if _, typed := terminalOf(os.Stdin); len(args) == 0 && !typed {
				var err error
				if said, err = readAll(); err != nil {
					return failed(fmt.Errorf("read the message: %w", err))
				}
			}
			if strings.TrimSpace(said) == "" {
				return errors.New("which message? Write it in quotes, or give it on standard input")
			}
			found := explanations(said)
			if len(found) == 0 {
				return failed(errors.New("no message of sluice's is in that; if it begins with libvirt's name, libvirt's or QEMU's own log says more"))
			}
			for i, e := range found {
				if i > 0 {
					fmt.Fprintln(out.out)
				}
				writeEntry(out.out, e)
			}
			return nil
		},
	}
}

func readAll() (string, error) {
	raw, err := io.ReadAll(io.LimitReader(os.Stdin, maxExplained))
	return string(raw), err
}

func writeEntry(w io.Writer, e docs.Entry) {
	writeLines(w, wrap(cmp.Or(e.Title, e.Messages[0]), columns(w)))
	field(w, "message", e.Messages[0])
	if e.Why != "" {
		field(w, "why", e.Why)
		field(w, "guest", e.Guest)
	}
	field(w, "do", e.Do)
}

// explanations are the entries of the messages that a text holds, each with the one that it was
// found by; the message with the most words of its own first.
func explanations(said string) (found []docs.Entry) {
	said = strings.Join(strings.Fields(strings.ReplaceAll(said, `\"`, `"`)), " ") // JSON's quotes
	type match struct {
		entry docs.Entry
		fixed int
	}
	var all []match
	for _, e := range docs.Entries() {
		best := match{}
		for _, m := range e.Messages {
			if n := fixedIn(said, m); n > best.fixed {
				best = match{e, n}
				best.entry.Messages = []string{m}
			}
		}
		if best.fixed > 0 {
			all = append(all, best)
		}
	}
	slices.SortStableFunc(all, func(a, b match) int { return b.fixed - a.fixed })
	for _, m := range all[:min(len(all), mostEntries)] {
		found = append(found, m.entry)
	}
	return found
}

// fixedIn is how many bytes of a message's own are in a text, in their order; 0 if some are not, or
// if they are in too many texts.
func fixedIn(text, message string) (n int) {
	longest := 0
	for part := range strings.SplitSeq(message, "…") {
		i := strings.Index(text, part)
		if i < 0 {
			return 0
		}
		text = text[i+len(part):]
		n += len(part)
		longest = max(longest, len(part))
	}
	if longest < docs.LeastOwn {
		return 0
	}
	return n
}
