package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/proxy/control"
)

const statusHelp = `Show the daemon's sessions under way: how far each is, how fast, and how long it
will take; the last sessions that ended, with the causes of those that failed;
guests of which it is not settled yet whether they have left; tunnels, peers and
certificates. Warnings come first. On a terminal it is fitted to the width.

With --peers it asks every peer now what it can do, and shows whether and how a
guest can go there, also to those without a sluice. sluice check --all-peers
says more about what prevents it.

Exit status: 0 shown, 1 the daemon was not reached, 2 wrong use.`

const statusExamples = `  sluice status
  sluice status --watch
  sluice status --peers
  sluice status --json | jq '.ended[0].cause'`

// watchEvery is how often --watch asks.
const watchEvery = time.Second

func newStatus(io streams) *cobra.Command {
	var socket string
	var asJSON, watch, peers bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show sessions, channels and peers",
		Long:    statusHelp,
		Example: statusExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := control.New(socket)
			if peers {
				return showPeers(cmd.Context(), io, c, asJSON)
			}
			if !watch {
				return showStatus(cmd.Context(), io, c, asJSON, 0)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return watchStatus(ctx, io, c, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every second, until Ctrl-C")
	cmd.Flags().BoolVar(&peers, "peers", false, "ask every peer what it can do")
	addSocket(cmd.Flags(), &socket)
	cmd.MarkFlagsMutuallyExclusive("peers", "watch")
	return cmd
}

func watchStatus(ctx context.Context, io streams, c *control.Client, asJSON bool) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for shown := 1; ; shown++ {
		if err := showStatus(ctx, io, c, asJSON, shown); err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how a watch ends
			}
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// showStatus asks once. again is how often it has been shown with --watch, 0 without.
func showStatus(ctx context.Context, io streams, c *control.Client, asJSON bool, again int) error {
	ctx, stop := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("no answer for 10 seconds: the daemon hangs; its log, or its goroutines (SIGQUIT), say where"))
	defer stop()
	st, err := c.Status(ctx)
	if err != nil {
		var refused *control.Error
		if errors.As(err, &refused) && refused.Code == 403 {
			return wrongUse(err)
		}
		return failed(err)
	}
	var b bytes.Buffer
	t, _ := terminalOf(io.out)
	switch {
	case asJSON:
		if err := json.NewEncoder(&b).Encode(st); err != nil {
			return failed(fmt.Errorf("encode status: %w", err))
		}
	case again > 0 && t.moves:
		if again == 1 {
			b.WriteString("\x1b[2J") // clear (ECMA-48)
		}
		// It takes the place of what is there, line by line and in one write, so that nothing flickers.
		b.WriteString("\x1b[H")
		lines := fitted(statusScreen(st, time.Now(), t.columns), t.rows-1, t.columns)
		b.WriteString(strings.Join(lines, "\x1b[K\n") + "\x1b[K\n\x1b[J")
	default:
		writeLines(&b, whole(statusScreen(st, time.Now(), t.columns)))
	}
	if _, err := io.out.Write(b.Bytes()); err != nil {
		return failed(fmt.Errorf("write status: %w", err))
	}
	return nil
}
