package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/proxy/control"
)

const evacuateHelp = `Empty this host before maintenance: move all guests that run or are paused here
to other hosts, and say of each what became of it.

Every guest is planned first for every destination, as sluice plan does. Who
goes where, in which order, and when all have left is shown, and nothing is
moved before that is confirmed. No destination is given more than the memory
that it has free. Guests that can't go are named with their reasons, and stay;
the others go all the same.

Guests whose migration may not end go first, then those that take longest. One
that fails is tried at its next destination, once at each. One of which nobody
can tell where it runs is not tried again: look at both hosts. A destination
that does not answer any more is not used for the rest.

The command lasts as long as the evacuation, and waits for a daemon that
restarts. Run again, it goes on with those that are still here. At Ctrl-C
nothing else begins, guests that a destination is taking over go on, and the
others stay. A second Ctrl-C waits 10 seconds more, a third does not wait. If
this command is killed, what is under way is aborted.

Guests that are only defined here are named, and not moved; with --offline
--persistent their definitions are, and nothing else.

This is for hosts that have no scheduler: OpenStack, oVirt, CloudStack, KubeVirt
and others empty a host in their own way, and have to be told.

Options besides these are those of sluice migrate, for every guest.`

const evacuateExit = `Exit status, by the worst that became of a guest:
  0  all have left
  1  one failed, or can't go; it has not moved
  2  wrong use, or wrong configuration; nothing was tried
  3  cancelled; one is still here
  4  state unknown of one: look at both hosts before doing anything`

const evacuateExamples = `  # only show who would go where
  sluice evacuate --dry-run

  # all guests, disks too, three at once, to these hosts
  sluice evacuate --to host-b,host-c --parallel 3 --copy-storage-all \
    --create-disks

  # in a script
  sluice evacuate --guests 'web*' --yes --json | tail -n 1`

// evacuateOptions are the flags of sluice evacuate.
type evacuateOptions struct {
	migrate migrateOptions // for each guest
	to      []string
	atOnce  int
	guests  string
	yes     bool
}

// notForMany are the options of sluice migrate that sluice evacuate has not, by why.
var notForMany = map[string]string{
	"dname":           "one name is not for many guests: move that one by sluice migrate",
	"xml":             "one description is not for many guests: move that one by sluice migrate",
	"persistent-xml":  "one description is not for many guests: move that one by sluice migrate",
	"postcopy-resume": "a post-copy goes on to the host that has a part of the guest: sluice migrate --postcopy-resume GUEST HOST",
}

func newEvacuate(io streams) *cobra.Command {
	o := new(evacuateOptions)
	cmd := &cobra.Command{
		Use:     "evacuate",
		Short:   "Move all guests of this host to others",
		Long:    evacuateHelp + "\n\n" + evacuateExit,
		Example: evacuateExamples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("evacuate takes no words, and %q is one: name destinations by --to, guests by --guests", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return err // with the hint at --help
			}
			if !o.yes && !o.migrate.dryRun && !term.IsTerminal(int(os.Stdin.Fd())) {
				return wrongUse(errors.New("evacuate asks before it moves anything, and there is no terminal to ask at: add --yes, or --dry-run only to see what it would do"))
			}
			v := &evacuation{io: io, o: o, client: control.New(o.migrate.socket), request: func(guest, peer string) (*control.MigrateRequest, error) {
				return o.migrate.request(cmd.Flags(), guest, peer)
			}}
			return v.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.to, "to", nil, "move guests to these `HOST,…` alone (default: to all peers that sluice status lists)")
	f.IntVar(&o.atOnce, "parallel", evacuate.Parallel, fmt.Sprintf("move up to `N` guests at once, 1 to %d; --parallel-connections is for each of them", evacuate.MaxParallel))
	f.StringVar(&o.guests, "guests", "", "only guests whose names match `PATTERN`, in which * and ? stand for any text and letter")
	f.BoolVar(&o.yes, "yes", false, "do not ask before guests are moved")
	each := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.migrate.add(each)
	each.Lookup("dry-run").Usage = "only show who would go where"
	each.Lookup("json").Usage = "print one JSON object per line; the plan, what happens, and the report last"
	each.VisitAll(func(flag *pflag.Flag) {
		if notForMany[flag.Name] == "" && f.Lookup(flag.Name) == nil {
			flag.Annotations = nil // of what is usual with sluice migrate
			f.AddFlag(flag)
		}
	})
	markUsual(f, "to", "parallel", "guests", "yes", "dry-run", "json")
	return cmd
}

// check says what is wrong with the flags before anything is asked.
func (o *evacuateOptions) check(f *pflag.FlagSet) error {
	if o.atOnce < 1 || o.atOnce > evacuate.MaxParallel {
		return fmt.Errorf("--parallel takes a number of guests from 1 to %d, not %d", evacuate.MaxParallel, o.atOnce)
	}
	if _, err := path.Match(o.guests, ""); err != nil {
		return fmt.Errorf("--guests %q is no pattern: a [ needs its ], and a \\ something behind it", o.guests)
	}
	peer := "any"
	for i, h := range o.to {
		if err := peerName(h); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		if slices.Contains(o.to[:i], h) {
			return fmt.Errorf("--to has %s twice", h)
		}
		peer = h
	}
	_, err := o.migrate.request(f, "any", peer)
	return err
}

// wants says whether a guest is one of those that are to leave.
func (o *evacuateOptions) wants(g control.Guest) bool {
	if o.guests == "" {
		return true
	}
	match, _ := path.Match(o.guests, g.Name) // a pattern by now
	return match || o.guests == g.UUID
}
