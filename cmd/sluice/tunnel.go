package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/credentials"
	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/tlsconf"
)

const tunnelHelp = `Carry connections from one address to another, one out for each that comes in,
with the daemon's relay and without the daemon.

Either URI can be:

  unix:PATH       a unix socket; one to listen at is open to its owner alone
  tcp:HOST:PORT   TCP, with TLS or in clear as --tls says
  tls:HOST:PORT   mutual TLS over TCP
  fd:N            a descriptor that sluice is started with: a listening socket
                  (systemd's first is 3), or a stream, which is one connection;
                  fd:IN,OUT is a pair, such as fd:0,1
  exec:COMMAND    a command's standard input and output. It is started for each
                  connection and ends with it; --listen exec: is one connection,
                  started at once. There is no shell: words are split as a shell
                  does, and what is special to one (| $ * …) has to be quoted

--tls yes gives TLS to the side that is tcp: (or an inherited TCP socket). no
leaves it in clear, beyond the loopback interface only if the configuration has
require_secure = false. Unset, tls of the configuration applies (default yes).

HOST may be empty to listen at every address. Certificates are looked for where
libvirt and QEMU keep them, unless --ca, --cert and --key name files or --spiffe
a Workload API; changes are followed. A server must have the name --tls-name in
its certificate, a client one that --allow names; an address proves nothing.
Names may contain * and ?, as in docs/config.md. Anything that does mutual TLS
can be at the other end. NBD programs first ask for TLS in their own protocol:
--starttls nbd.

The end of each connection is logged with its path, TLS version, suite and
bytes ("sent" is from the client to the target), and with how a command ended.
An end without close_notify is a failure, never an orderly end, and resets the
other side (a unix socket or a pipe can only be closed; a command is killed).
QEMU's programs send none: --close-notify optional.

The first SIGTERM or SIGINT stops listening and waits for open connections; a
second one cuts them off.

Exit status: 0 stopped, every connection had ended by itself; 1 failed, or
connections were cut off; 2 wrong use, or certificates that cannot be used.
If there can be only one connection, its failure is 1 as well.`

const tunnelExamples = `  sluice tunnel --listen unix:/run/nbd.sock --to tls:host-b:10810
  sluice tunnel --listen tls::10810 --allow host-a --to unix:/run/disk.sock
  sluice tunnel --listen tls::10809 --allow host-a --starttls nbd \
    --to "exec:nbdkit -s file disk.img"
  ssh -o ProxyCommand='sluice tunnel --listen fd:0,1 --to tls:host-b:22' host-b
  sluice tunnel --listen tls:[::]:4433 --allow '*.example.org' \
    --to tcp:127.0.0.1:8080 --ca ca.pem --cert cert.pem --key key.pem \
    --priority SECURE256`

func newTunnel(io streams) *cobra.Command {
	o := new(tunnelOptions)
	cmd := &cobra.Command{
		Use:     "tunnel --listen URI --to URI",
		Short:   "Carry any connections through the relay alone",
		Long:    tunnelHelp,
		Example: tunnelExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(io.err, "info")
			if err != nil {
				return err
			}
			opts, effect, err := o.parse(cmd.Flags(), log)
			if err != nil {
				return err
			}
			runAsBatch()
			return runTunnel(cmd.Context(), log, o, opts, effect)
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func runTunnel(ctx context.Context, log zerolog.Logger, o *tunnelOptions, opts tunnel.Options, effect spec.Effect) error {
	opts.Ended = func(r tunnel.Report) { r.Log(log) }
	opts.Trouble = func(err error) { log.Error().Err(err).Msg("accept a connection") }

	var following sync.WaitGroup
	defer following.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if effect.TLS() == spec.Yes {
		source, err := o.certificates(ctx, log, config.TunnelRole(effect))
		if err != nil {
			return wrongUse(fmt.Errorf("TLS is in effect (%s), but there are no certificates for it: %w", effect.Why, err))
		}
		opts.Credentials = source
		for _, f := range append(source.Current().Warnings, opts.Policy().Check(source.Current())...) {
			log.Warn().Msg(f.Error())
		}
		following.Go(func() {
			if err := source.Run(ctx); err != nil && ctx.Err() == nil {
				log.Error().Err(err).Msg("new certificates are no longer loaded")
			}
		})
	}
	t, err := tunnel.Listen(opts)
	if err != nil {
		return failed(err)
	}
	log.Info().Stringer("address", t.Address()).Stringer("to", opts.To).Str("tls", effect.TLS()).Str("why", effect.Why).Msg("listening")

	drain := make(chan struct{})
	defer onSignals(func(s os.Signal) {
		log.Info().Stringer("signal", s).Msg("no new connections; a second signal cuts off those that are open")
		close(drain)
	}, func(s os.Signal) {
		stop(fmt.Errorf("the tunnel was stopped by a second signal (%v)", s))
	}, syscall.SIGTERM, syscall.SIGINT)()
	if err := t.Serve(ctx, drain); err != nil {
		return failed(err)
	}
	return nil
}

// certificates opens this host's, which are followed from then on.
func (o *tunnelOptions) certificates(ctx context.Context, log zerolog.Logger, role tlsconf.Role) (credentials.Source, error) {
	source, err := credentials.Open(ctx, o.Certificates.As(role), credentials.Watch{
		Changed: func(c *tlsconf.Credentials) {
			log.Info().Str("certificates", c.Found.Why).Str("subject", c.Leaf.Subject.String()).Msg("new certificates are in use")
		},
		Failed: func(err error) { log.Error().Err(err).Msg("reload failed") },
	})
	var none *tlsconf.NotFoundError
	if errors.As(err, &none) {
		err = fmt.Errorf("%w (--ca, --cert and --key, or --spiffe)", err)
	}
	return source, err
}
