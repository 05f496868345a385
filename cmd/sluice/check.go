package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy"
	"github.com/virt-sluice/sluice/proxy/control"
)

const checkHelp = `Find out what would keep a migration from working, before one does.

Without options it checks this host: certificates, TLS priority, port, folders,
libvirt, and the kernel's limits. With --peer or --all-peers it checks the way
to other hosts: the name resolves, the port answers, the handshake succeeds
with the expected certificate, and the sluice there accepts this host and
reaches its libvirt. Each failure says what is wrong and what to do. Nothing is
changed on any host, but that a host for which a pattern of [peers] stands is
known once --peer has reached it, and has a socket for libvirt clients.

The daemon on this host is asked, and reports what it has in use. If none runs,
or with --config, the configuration and the files are checked as they are.

Exit status: 0 no errors (there may be warnings), 1 errors were found, 2 wrong
use.`

const checkExamples = `  sluice check
  sluice check --peer host-b
  sluice check --all-peers --json | jq '.findings[] | select(.result != "ok")'`

type checkOptions struct {
	request control.CheckRequest
	config  string
	socket  string
	asJSON  bool
}

func newCheck(io streams) *cobra.Command {
	o := new(checkOptions)
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Find out what would keep a migration from working",
		Long:    checkHelp,
		Example: checkExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			report, err := o.run(ctx, cmd.Flags().Changed("config"))
			if err != nil {
				return err
			}
			return o.show(io, report)
		},
	}
	cmd.Flags().StringArrayVar(&o.request.Peers, "peer", nil, "check the way to the peer `HOST`; may be repeated")
	cmd.Flags().BoolVar(&o.request.All, "all-peers", false, "check the way to every peer that is listed, or was found by a pattern")
	cmd.Flags().StringVar(&o.config, "config", defaultConfig, "check this configuration `FILE`, not what the daemon has in use")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON object")
	addSocket(cmd.Flags(), &o.socket)
	cmd.MarkFlagsMutuallyExclusive("peer", "all-peers")
	cmd.MarkFlagsMutuallyExclusive("config", "socket")
	return cmd
}

// checkTimeout bounds a daemon's answer: each step of a check has its own
// limit there, limits.handshake_timeout, and many peers take turns.
const checkTimeout = 10 * time.Minute

// run asks the daemon, if that is whom to ask.
func (o *checkOptions) run(ctx context.Context, byConfig bool) (*control.Report, error) {
	ctx, stop := context.WithTimeoutCause(ctx, checkTimeout, fmt.Errorf("no answer within %v", checkTimeout))
	defer stop()
	if !byConfig {
		report, err := control.New(o.socket).Check(ctx, &o.request)
		var refused *control.Error
		switch {
		case err == nil:
			return report, nil
		case errors.As(err, &refused) && (refused.Code == 400 || refused.Code == 403):
			return nil, wrongUse(err)
		case !errors.Is(err, control.ErrNoDaemon), o.socket != control.DefaultSocket:
			return nil, failed(err)
		}
	}
	cfg, err := config.Load(o.config)
	if err != nil {
		return faults(o.config, err), nil
	}
	report, err := proxy.Check(ctx, cfg, buildVersion(), &o.request)
	if err != nil {
		return nil, wrongUse(err)
	}
	return report, nil
}

// faults is a report on a configuration that cannot be used.
func faults(file string, err error) *control.Report {
	r := &control.Report{Version: buildVersion(), By: control.ByCommand, Time: time.Now()}
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		r.Findings = append(r.Findings, control.Finding{Check: "configuration", Result: control.ResultError, Code: "configuration", Text: err.Error()})
	}
	check.Count(r)
	return r
}

// show prints a report and makes its errors the exit status.
func (o *checkOptions) show(io streams, r *control.Report) error {
	var err error
	if o.asJSON {
		err = json.NewEncoder(io.out).Encode(r)
	} else {
		err = writeReport(io.out, r, columns(io.out))
	}
	switch {
	case err != nil:
		return failed(fmt.Errorf("write the report: %w", err))
	case r.Errors > 0:
		return failed(nil)
	}
	return nil
}
