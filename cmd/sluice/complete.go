package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/virt-sluice/sluice/bench"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// completionPatience is how long a shell waits for a daemon's word about what may follow.
const completionPatience = 2 * time.Second

// A completion is what may follow, which a shell offers. It is no error if a daemon can't be asked:
// nothing is offered then.
type completion func(ctx context.Context, c *control.Client) []cobra.Completion

// completed has a command's arguments completed, one after the other, by what a daemon says.
func completed(args ...completion) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) >= len(args) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		socket, err := cmd.Flags().GetString("socket")
		if err != nil {
			panic(err) // no such flag
		}
		ctx, stop := context.WithTimeout(cmd.Context(), completionPatience)
		defer stop()
		return args[len(given)](ctx, control.New(socket)), cobra.ShellCompDirectiveNoFileComp
	}
}

// offered adds a name to what a shell offers. Names come from peers, too: one that could steer the
// terminal is not offered.
func offered(names []cobra.Completion, name, says string) []cobra.Completion {
	if name == "" || tidy(name) != name {
		return names
	}
	return append(names, cobra.CompletionWithDesc(name, oneLine(says)))
}

// activeGuests are those of this host that can be moved while they run.
func activeGuests(ctx context.Context, c *control.Client) (names []cobra.Completion) {
	all, err := c.Guests(ctx)
	if err != nil {
		return nil
	}
	for _, g := range all.Guests {
		if g.Active {
			names = offered(names, g.Name, g.UUID)
		}
	}
	return names
}

// inStatus is a completion by the daemon's status.
func inStatus(add func(st *control.Status, names []cobra.Completion) []cobra.Completion) completion {
	return func(ctx context.Context, c *control.Client) []cobra.Completion {
		st, err := c.Status(ctx)
		if err != nil {
			return nil
		}
		return add(st, nil)
	}
}

// peers are those that status shows.
var peers = inStatus(func(st *control.Status, names []cobra.Completion) []cobra.Completion {
	for _, p := range st.Peers {
		names = offered(names, p.Name, p.Address)
	}
	return names
})

// migratingGuests are those with a session under way.
var migratingGuests = inStatus(func(st *control.Status, names []cobra.Completion) []cobra.Completion {
	for _, s := range st.Sessions {
		names = offered(names, s.Guest, s.Phase)
	}
	return names
})

// endedGuests are those of the last sessions that ended.
var endedGuests = inStatus(func(st *control.Status, names []cobra.Completion) []cobra.Completion {
	for _, s := range st.Ended {
		names = offered(names, s.Guest, s.Outcome)
	}
	return names
})

// endedSessions are the last ones that ended, by their guests and by their IDs.
var endedSessions = inStatus(func(st *control.Status, names []cobra.Completion) []cobra.Completion {
	for _, s := range st.Ended {
		names = offered(names, s.Guest, s.Outcome)
		names = offered(names, shortID(s.ID), guest(s))
	}
	return names
})

// leavingGuests are those of which it is not settled where they run.
var leavingGuests = inStatus(func(st *control.Status, names []cobra.Completion) []cobra.Completion {
	for _, d := range st.Leaving {
		names = offered(names, d.Guest, "left for "+d.Peer)
	}
	return names
})

// wordsOf are the values of flags that take one of a few words.
var wordsOf = map[string][]cobra.Completion{
	"comp-methods": {"xbzrle", "mt", "zlib", "zstd"},
	"key":          {string(pki.ECDSA), string(pki.P384), string(pki.RSA)},
	"layout":       layout.Names(),
	"log-level":    {"trace", "debug", "info", "warn", "error"},
	"only":         bench.Contenders(),
	"path":         {"auto", "ktls", "records", "crypto/tls"},
	"starttls":     {spec.NBD},
	"work":         bench.Works(),
}

// completeFlags has the values of a command's flags completed, and of the commands below, by what
// each flag's help calls its value: `FILE`, `HOST`, `yes|no`. Files are offered for files alone.
func completeFlags(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		kind, _ := pflag.UnquoteUsage(f)
		words := wordsOf[f.Name]
		var values cobra.CompletionFunc
		switch {
		case kind == "FILE", kind == "PATH" && words == nil:
			return // the shell's own
		case kind == "FOLDER":
			values = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
		case kind == "HOST", kind == "HOST,…":
			values = func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return completed(peers)(cmd, nil, "")
			}
		case strings.Contains(kind, "|") && kind == strings.ToLower(kind):
			values = cobra.FixedCompletions(strings.Split(kind, "|"), cobra.ShellCompDirectiveNoFileComp)
		default:
			values = cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, values); err != nil {
			panic(err) // it has one already
		}
	})
	for _, c := range cmd.Commands() {
		completeFlags(c)
	}
}
