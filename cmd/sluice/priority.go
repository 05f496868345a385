package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/tlsconf"
)

const priorityHelp = `Show what a GnuTLS priority string means here: the TLS versions, cipher suites
and groups that a handshake may choose; what GnuTLS would allow in addition and
is not available here; and which parts of the string have no effect.

The strings are those of tls_priority in libvirt and of other programs that use
GnuTLS. @KEYWORD,FALLBACK is looked up in the host's system file
(/etc/gnutls/config, that of crypto-policies, or what
GNUTLS_SYSTEM_PRIORITY_FILE names). Without STRING it shows this host's default:
@LIBVIRT,SYSTEM if the system file has one of the two, else NORMAL.

Exit status: 0 shown, 2 wrong use, or a string that cannot be used.`

const priorityExamples = `  sluice priority SECURE256
  sluice priority 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-AES-128-GCM'
  sluice priority @LIBVIRT,SYSTEM --json | jq .suites`

func newPriority(io streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "priority [STRING]",
		Short:   "Show what a GnuTLS priority string means",
		Long:    priorityHelp,
		Example: priorityExamples,
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return showPriority(io, args, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func showPriority(io streams, args []string, asJSON bool) error {
	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
	if err != nil {
		return wrongUse(err)
	}
	for _, w := range sys.Warnings {
		say(io.err, w)
	}
	priority := sys.DefaultPriority()
	if len(args) > 0 {
		priority = args[0]
	}
	p, err := tlsconf.ParsePriority(priority, sys)
	if err != nil {
		if asJSON {
			if err := json.NewEncoder(io.out).Encode(priorityFault(err)); err != nil {
				return failed(err)
			}
		}
		return wrongUse(err)
	}
	if asJSON {
		err = json.NewEncoder(io.out).Encode(p)
	} else {
		err = writePriority(io.out, p)
	}
	if err != nil {
		return failed(fmt.Errorf("write the policy: %w", err))
	}
	return nil
}

// fault is what --json prints of a string that cannot be used.
type fault struct {
	Error   string `json:"error"`
	Token   string `json:"token,omitempty"`
	Column  int    `json:"column,omitempty"` // from 1, in bytes, of the string as it stands after @KEYWORD was looked up
	Nearest string `json:"nearest,omitempty"`
}

func priorityFault(err error) fault {
	f := fault{Error: err.Error()}
	var syntax *tlsconf.SyntaxError
	var unsupported *tlsconf.UnsupportedError
	switch {
	case errors.As(err, &syntax):
		f.Token, f.Column, f.Nearest = syntax.Token, syntax.Column, syntax.Nearest
	case errors.As(err, &unsupported):
		f.Token, f.Column = unsupported.Token, unsupported.Column
	}
	return f
}

// writePriority is p for a person.
func writePriority(w io.Writer, p *tlsconf.Policy) error {
	var b strings.Builder
	fmt.Fprintf(&b, "priority  %s\n", oneLine(p.Source))
	if p.Expanded != "" {
		fmt.Fprintf(&b, "that is   %s\n", oneLine(p.Expanded))
		fmt.Fprintf(&b, "from      %s\n", oneLine(p.File))
	}
	for _, list := range []struct {
		head  string
		names []string
	}{{"versions", p.Versions}, {"suites", p.Suites}, {"groups", p.Groups}} {
		if len(list.names) == 0 {
			list.names = []string{"none"}
		}
		for i, name := range list.names {
			head := list.head
			if i > 0 {
				head = ""
			}
			fmt.Fprintf(&b, "%-8s  %s\n", head, name)
		}
	}
	if p.SessionHash {
		b.WriteString("demands   the extended master secret, of peers with TLS 1.2\n")
	}
	for _, notes := range []struct {
		head string
		list []tlsconf.Note
	}{{"Added here", p.Added}, {"GnuTLS would allow this as well; not available here", p.Unavailable}, {"Without effect here", p.NoEffect}} {
		if len(notes.list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", notes.head)
		for _, n := range notes.list {
			writeLines(&b, indented(margin, n.Token+": "+n.Why, columns(w)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
