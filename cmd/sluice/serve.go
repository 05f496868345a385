package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
)

const defaultConfig = "/etc/sluice/sluice.toml"

const serveHelp = `Run the daemon in the foreground, beside libvirtd.

It listens for other hosts' sluices (on port 16514 by default), and for this
host's users on sockets under /run/sluice: control.sock for sluice migrate and
sluice status, peers/NAME/libvirt.sock for stock libvirt clients.

The minimum that a configuration must contain, on host-a:

  [peers.host-b]

That peer is then reached at host-b:16514 and must show a certificate for the
name host-b; this host's own certificates are looked for where libvirt keeps
them (/etc/pki). docs/config.md lists every key.

Signals: the first SIGTERM or SIGINT drains: no new sessions, and those under
way may take limits.drain_timeout. A second one stops at once: every guest goes
on at its source, and one in post-copy pauses until it is resumed. SIGHUP
reloads the configuration, certificates, revocation lists and GnuTLS's settings,
as sluice reload does, which also says what came of it.

With --follow, a sluice that runs on this host keeps the migrations that it has,
and hands its sockets to this one, which serves what comes. If this one can't
start, nothing changes. --service does so for systemd's restart.

Exit status: 0 stopped after a drain, 1 failed, 2 wrong use or configuration.`

const serveExamples = `  sluice serve --config /etc/sluice/sluice.toml --check
  sluice serve --config /etc/sluice/sluice.toml`

type serveOptions struct {
	config   string
	logLevel string
	check    bool
	follow   bool
	service  bool
}

func newServe(io streams) *cobra.Command {
	o := new(serveOptions)
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run the daemon",
		Long:    serveHelp,
		Example: serveExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), io, o)
		},
	}
	cmd.Flags().StringVar(&o.config, "config", defaultConfig, "the configuration `FILE` (TOML)")
	cmd.Flags().BoolVar(&o.check, "check", false, "check configuration and certificates, say what is wrong, and exit")
	cmd.Flags().BoolVar(&o.follow, "follow", false, "take the sockets over from a sluice that runs with this configuration; it finishes what it has")
	cmd.Flags().BoolVar(&o.service, "service", false, "run as systemd's service, whose restart leaves migrations alone; includes --follow")
	cmd.Flags().StringVar(&o.logLevel, "log-level", "info", "lowest `LEVEL` to log: trace, debug, info, warn or error")
	return cmd
}

func serve(ctx context.Context, io streams, o *serveOptions) error {
	log, err := newLogger(io.err, o.logLevel)
	if err != nil {
		return err
	}
	if o.service && !o.check {
		return serveAsService(io, o, log)
	}
	cfg, err := config.Load(o.config)
	if err != nil {
		return wrongUse(err)
	}
	if o.check {
		if _, err := newDaemon(cfg, log, nil, nil, false); err != nil {
			return wrongUse(fmt.Errorf("%s: %w", o.config, err))
		}
		fmt.Fprintf(io.out, "%s: no fault found; this host is %s and listens on %s; its peers: %s\n", o.config, cfg.Name, cfg.Listen,
			cmp.Or(strings.Join(cfg.PeerNames(), " "), "none"))
		return nil
	}
	runAsBatch()
	d, look, err := confinedDaemon(cfg, o.follow, log)
	if err != nil {
		return wrongUse(fmt.Errorf("%s: %w", o.config, err))
	}
	defer look.Close()
	if len(cfg.PeerNames()) == 0 {
		words := "no [peers] are configured: nothing can be moved from here"
		if len(cfg.Clients) == 0 {
			words += ", and nobody is let in"
		}
		log.Warn().Str("config", o.config).Msg(words)
	}
	return runDaemon(ctx, d, log)
}

// runner is what runDaemon needs of the daemon.
type runner interface {
	Run(ctx context.Context, drain <-chan struct{}) error
	Ready() <-chan struct{}
	Followed() <-chan struct{} // another process serves
	Reload() (*control.Reloaded, error)
	Summary() string
}

// runDaemon runs d until it has drained or is stopped by signals.
func runDaemon(ctx context.Context, d runner, log zerolog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	drain := make(chan struct{})
	defer onSignals(func(s os.Signal) {
		log.Info().Stringer("signal", s).Msg("draining: no new sessions; a second signal stops at once")
		close(drain)
	}, func(s os.Signal) {
		log.Warn().Stringer("signal", s).Msg("stopping at once")
		stop()
	}, syscall.SIGTERM, syscall.SIGINT)()
	reload := func(s os.Signal) {
		log.Info().Stringer("signal", s).Msg("reloading")
		d.Reload() // it logs what comes of it
	}
	defer onSignals(reload, reload, syscall.SIGHUP)()
	defer tellSystemd(d.Ready(), drain, d.Followed(), d.Summary, log)()

	err := d.Run(ctx, drain)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil // stopped, as was asked for
	}
	if err != nil {
		return failed(err)
	}
	log.Info().Msg("stopped")
	return nil
}
