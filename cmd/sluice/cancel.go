package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/proxy/control"
)

const cancelHelp = `Cancel the migration of GUEST, whoever runs it: sluice migrate, virsh or another
client of libvirt's. It works on the host that the guest leaves and on the one
that it comes to. The guest goes on at the source.

GUEST is a name or a UUID, or the ID of a session of sluice status. The command
waits until the migration has ended, and says how. A guest that is just being
taken over, or is in post-copy, can't be cancelled any more.

Exit status: 0 cancelled, 1 refused, too late, or the daemon was not reached,
2 wrong use.`

const cancelExamples = `  sluice cancel web1`

// cancelPatience is longer than a migration takes to end, even if a host is silent.
const cancelPatience = 2 * time.Minute

func newCancel(io streams) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:               "cancel GUEST",
		Short:             "Cancel a guest's migration, whoever runs it",
		Long:              cancelHelp,
		Example:           cancelExamples,
		ValidArgsFunction: completed(migratingGuests),
		Args:              cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return cancel(cmd.Context(), io, control.New(socket), &control.CancelRequest{Guest: args[0]})
		},
	}
	addSocket(cmd.Flags(), &socket)
	return cmd
}

func cancel(ctx context.Context, io streams, c *control.Client, req *control.CancelRequest) error {
	ctx, stop := context.WithTimeoutCause(ctx, cancelPatience, fmt.Errorf("no answer for %v: `sluice status` shows what became of it", cancelPatience))
	defer stop()
	r, err := c.Cancel(ctx, req)
	if err != nil {
		return notAsked(err)
	}
	at := "here"
	if r.Direction == control.Incoming {
		at = "at " + oneLine(r.Peer)
	}
	switch r.Outcome {
	case control.Cancelled:
		fmt.Fprintf(io.out, "the migration of guest %s is cancelled; it goes on %s\n", oneLine(r.Guest), at)
		return nil
	case control.Moved:
		return failed(fmt.Errorf("it was too late: guest %s has moved", oneLine(r.Guest)))
	}
	return failed(fmt.Errorf("the migration of guest %s ended as %s: %s", oneLine(r.Guest), oneLine(r.Outcome), oneLine(r.Cause)))
}
