package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/proxy/control"
)

const reloadHelp = `Have the daemon take over its configuration, as the files are now.

All files are read and checked, with the certificates that they name, and what
they ask for is opened; then all of it takes effect at once. What is under way
goes on as it began. If anything is wrong, all of it stays as it was, and the
faults are shown. A few keys take a restart, and are named.

systemctl reload sluice does this. SIGHUP does, too, and tells the log alone.
Only root may.

Exit status: 0 reloaded, 1 not reloaded, or the daemon was not reached.`

const reloadExamples = `  # add a host
  echo '[peers.host-c]' >/etc/sluice/conf.d/host-c.toml
  sluice reload`

func newReload(io streams) *cobra.Command {
	var socket string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "reload",
		Short:   "Have the daemon take over its configuration",
		Long:    reloadHelp,
		Example: reloadExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := context.WithTimeoutCause(cmd.Context(), reloadTimeout, errors.New("no answer within a minute: the daemon hangs; its log, or its goroutines (SIGQUIT), say where"))
			defer stop()
			r, err := control.New(socket).Reload(ctx)
			if err != nil {
				return failed(err)
			}
			if asJSON {
				err = json.NewEncoder(io.out).Encode(r)
			} else {
				err = writeReloaded(io.out, r)
			}
			if err != nil {
				return failed(fmt.Errorf("write the result: %w", err))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	addSocket(cmd.Flags(), &socket)
	return cmd
}

// reloadTimeout is longer than a Workload API is waited for.
const reloadTimeout = time.Minute

func writeReloaded(w io.Writer, r *control.Reloaded) error {
	_, err := fmt.Fprintf(w, "reloaded %s\n", strings.Join(r.Files, ", "))
	for _, l := range []struct {
		what  string
		names []string
	}{{"peers added", r.Added}, {"peers removed", r.Removed}} {
		if len(l.names) > 0 && err == nil {
			_, err = fmt.Fprintf(w, "%s: %s\n", l.what, strings.Join(l.names, ", "))
		}
	}
	for _, note := range r.Notes {
		if err == nil {
			_, err = fmt.Fprintf(w, "note: %s\n", note)
		}
	}
	return err
}
