package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/proxy/control"
)

const resolveHelp = `Say where GUEST runs, which has left this host and whose destination can't be
asked.

When a migration breaks at the moment in which the destination takes the guest
over, sluice keeps the guest stopped here until the destination can say what
became of it. sluice status shows such guests. A destination that comes back is
asked again without this command. It is for one that is lost: look there first,
with your own eyes.

A destination that can be asked has the last word: this command is refused if it
says otherwise. GUEST is a name or a UUID.

Exit status: 0 done, 1 refused or the daemon was not reached, 2 wrong use.`

const resolveExamples = `  # host-b has burnt down: the guest goes on here
  sluice resolve web1 --here

  # the guest runs on host-b, whose sluice is gone: end the copy here
  sluice resolve web1 --there`

func newResolve(io streams) *cobra.Command {
	var socket string
	var here, there bool
	cmd := &cobra.Command{
		Use:               "resolve GUEST",
		Short:             "Say where a guest runs, where nobody can tell",
		Long:              resolveHelp,
		Example:           resolveExamples,
		ValidArgsFunction: completed(leavingGuests),
		Args:              cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &control.ResolveRequest{Guest: args[0], Runs: control.Here}
			if there {
				req.Runs = control.There
			}
			return resolve(cmd.Context(), io, control.New(socket), req)
		},
	}
	cmd.Flags().BoolVar(&here, "here", false, "it does not run at the destination and never will: it goes on at this host")
	cmd.Flags().BoolVar(&there, "there", false, "it runs at the destination, or has run there: end the copy at this host")
	cmd.MarkFlagsMutuallyExclusive("here", "there")
	cmd.MarkFlagsOneRequired("here", "there")
	addSocket(cmd.Flags(), &socket)
	return cmd
}

func resolve(ctx context.Context, io streams, c *control.Client, req *control.ResolveRequest) error {
	ctx, stop := context.WithTimeoutCause(ctx, time.Minute, errors.New("no answer for a minute: the daemon hangs, or limits.give_up_timeout is long"))
	defer stop()
	if err := c.Resolve(ctx, req); err != nil {
		var refused *control.Error
		if errors.As(err, &refused) && (refused.Code == 400 || refused.Code == 403) {
			return wrongUse(err)
		}
		return failed(err)
	}
	what := "goes on here"
	if req.Runs == control.There {
		what = "has ended here"
	}
	fmt.Fprintf(io.out, "guest %s %s\n", req.Guest, what)
	return nil
}
