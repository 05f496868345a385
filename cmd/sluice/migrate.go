package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
)

const migrateHelp = `Move GUEST, which runs on this host, to HOST while it runs.

GUEST is a name, a UUID or an id, as virsh list shows them. HOST is the name of
a peer under [peers] in the daemon's configuration, or of any host for which a
pattern stands there; sluice status lists both.
The command lasts as long as the migration and says how it ended.

Ctrl-C cancels: the guest goes on at the source, and the message says so. A
second Ctrl-C waits 10 seconds more for that message, a third does not wait. If
this command is killed, the migration is aborted as well. sluice cancel does the
same from elsewhere.

Options are named as in virsh migrate.`

const migrateExamples = `  # memory only; the disks are on storage that both hosts reach
  sluice migrate web1 host-b

  # copy the disks too, define the guest there and undefine it here
  sluice migrate web1 host-b --copy-storage-all --persistent --undefinesource

  # a busy guest: post-copy after the first pass over memory
  sluice migrate db1 host-b --postcopy

  # a busy guest: slow it down or switch to post-copy, in 30 s for each GiB
  sluice migrate db1 host-b --auto --deadline 30s/GiB --allow slow,postcopy

  # a large guest on a fast network, in a script
  sluice migrate db1 host-b --parallel-connections 4 --json | tail -n 1

  # at most 100 MiB/s, and pause the guest if it has not converged in 5 minutes
  sluice migrate web1 host-b --bandwidth 100 --timeout 300 --timeout-suspend`

func newMigrate(io streams) *cobra.Command {
	o := new(migrateOptions)
	cmd := &cobra.Command{
		Use:               "migrate GUEST HOST",
		Short:             "Move a running guest to another host",
		Long:              migrateHelp + "\n\n" + exitHelp,
		Example:           migrateExamples,
		ValidArgsFunction: completed(activeGuests, peers),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("migrate takes two words, GUEST and HOST (such as `sluice migrate web1 host-b`); %d given", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := o.request(cmd.Flags(), args[0], args[1])
			if err != nil {
				return err // with the hint at --help
			}
			if o.dryRun {
				return plan(cmd.Context(), io, o, req)
			}
			return migrate(cmd.Context(), io, o, req)
		},
	}
	o.add(cmd.Flags())
	return cmd
}

// migrate has the daemon run one migration, shows how it goes and ends with its exit status.
func migrate(ctx context.Context, io streams, o *migrateOptions, req *control.MigrateRequest) error {
	view := newView(io, o.json)
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	cancel := make(chan struct{})
	defer untilCancelled(func() { close(cancel) }, leave, view.note, "the guest is safe at the source")()

	silence := newSilence(view.note)
	defer silence.stop()
	stalled, decided := false, 0
	result, err := control.New(o.socket).Migrate(ctx, cancel, req, func(p control.Progress) {
		silence.broken()
		if p.Stalled != "" && !stalled { // once for each time that it comes to that
			view.note(oneLine(p.Stalled))
		}
		stalled = p.Stalled != ""
		decided = tell(view.note, p.Decisions, decided)
		view.progress(p)
	})
	if err == nil {
		tell(view.note, result.Decisions, decided)
		view.result(result)
		return ended(exitOf(result.Outcome))
	}
	code := exitFailed
	var refused *control.Error
	switch {
	case errors.Is(err, control.ErrNoResult):
		code = exitUnknown
		err = fmt.Errorf("%w\nlook where %s runs before anything else: virsh list on both hosts, and sluice status", err, req.Guest)
	case errors.As(err, &refused) && (refused.Code == 400 || refused.Code == 403):
		code = exitUsage
	}
	view.failure(req, code, err)
	return ended(code)
}

// tell shows the decisions beyond the first ones, which have been shown, and says how many there are.
func tell(note func(string), all []control.Note, shown int) int {
	for _, n := range all[min(shown, len(all)):] {
		note(oneLine(n.Text))
	}
	return max(shown, len(all))
}

// ended is an exit status after all has been said.
func ended(code int) error {
	if code == exitMoved {
		return nil
	}
	return &exitError{code: code}
}

// peerName checks HOST, which virsh users may take for a URI.
func peerName(host string) error {
	if err := config.ValidPeerName(host); err != nil {
		return fmt.Errorf("HOST: %w; `sluice status` lists the peers", err)
	}
	return nil
}
