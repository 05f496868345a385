package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/tlsconf"
)

const tunnelHelp = `Carry connections from one address to another, one out for each that comes in,
with the daemon's relay and without the daemon. URIs:

  unix:PATH       a unix socket; one that is listened at is its owner's alone
  tcp:HOST:PORT   TCP in clear
  tls:HOST:PORT   mutual TLS over TCP, on one of the two sides

HOST may be empty to listen at every address. Certificates are looked for where
libvirt and QEMU keep them unless --ca, --cert and --key name the files, which are
followed: new ones are taken over. A server must have the name --tls-name in its
certificate, a client one that --allow names; an address proves nothing. Names may
hold * and ?, as in docs/config.md. Anything that does mutual TLS can be at the
other end.

Each connection's end is logged with its path, TLS version, suite and bytes, sent
being those from the client to the target. An end without close_notify is a failure,
never an orderly end, and resets the other side (a unix socket can only be closed).
At most 512 connections are open at once; each has 10 seconds for its handshakes.

The first SIGTERM or SIGINT ends the listening and waits for the connections that
there are; a second one cuts them off.

Exit status: 0 stopped, every connection had ended by itself; 1 failed, or
connections were cut off; 2 wrong use, or certificates that cannot be used.`

const tunnelExamples = `  sluice tunnel --listen unix:/run/nbd.sock --to tls:host-b:10810
  sluice tunnel --listen tls::10810 --allow host-a --to unix:/run/disk.sock
  sluice tunnel --listen tls:[::]:4433 --allow '*.example.org' --to tcp:127.0.0.1:8080 \
    --ca ca.pem --cert cert.pem --key key.pem --priority SECURE256`

func newTunnel(io streams) *cobra.Command {
	o := new(tunnelOptions)
	cmd := &cobra.Command{
		Use:     "tunnel --listen URI --to URI",
		Short:   "Carry connections of anything through the relay alone",
		Long:    tunnelHelp,
		Example: tunnelExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := o.parse(cmd.Flags())
			if err != nil {
				return err
			}
			return runTunnel(cmd.Context(), io, o, opts)
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func runTunnel(ctx context.Context, io streams, o *tunnelOptions, opts tunnel.Options) error {
	log, err := newLogger(io.err, "info")
	if err != nil {
		return err
	}
	opts.Ended = func(r tunnel.Report) { logEnd(log, r) }
	opts.Trouble = func(err error) { log.Error().Err(err).Msg("accept a connection") }

	var following sync.WaitGroup
	defer following.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if opts.Listen.Kind == tunnel.TLS || opts.To.Kind == tunnel.TLS {
		store, err := o.certificates(log)
		if err != nil {
			return wrongUse(fmt.Errorf("certificates: %w", err))
		}
		opts.Credentials = store
		for _, f := range append(store.Current().Warnings, opts.Policy.Check(store.Current())...) {
			log.Warn().Msg(f.Error())
		}
		following.Go(func() {
			if err := store.Run(ctx); err != nil && ctx.Err() == nil {
				log.Error().Err(err).Msg("new certificates are not taken over any more")
			}
		})
	}
	t, err := tunnel.Listen(opts)
	if err != nil {
		return failed(err)
	}
	log.Info().Stringer("address", t.Address()).Stringer("to", opts.To).Msg("listening")

	drain := make(chan struct{})
	defer onSignals(func(s os.Signal) {
		log.Info().Stringer("signal", s).Msg("no new connections; a second signal cuts off those that there are")
		close(drain)
	}, func(s os.Signal) {
		stop(fmt.Errorf("the tunnel was stopped by a second signal (%v)", s))
	}, syscall.SIGTERM, syscall.SIGINT)()
	if err := t.Serve(ctx, drain); err != nil {
		return failed(err)
	}
	return nil
}

// certificates loads this host's, and follows them from then on.
func (o *tunnelOptions) certificates(log zerolog.Logger) (*tlsconf.Store, error) {
	store, err := tlsconf.NewStore(tlsconf.StoreConfig{
		Search: tlsconf.Search{Files: tlsconf.Files{CA: o.ca, Cert: o.cert, Key: o.key}},
		Changed: func(c *tlsconf.Credentials) {
			log.Info().Str("subject", c.Leaf.Subject.String()).Msg("new certificates are in use")
		},
		Failed: func(err error) { log.Error().Err(err).Msg("reload failed") },
	})
	var none *tlsconf.NotFoundError
	if errors.As(err, &none) {
		err = fmt.Errorf("%w (--ca, --cert and --key)", err)
	}
	return store, err
}

// logEnd is the status line of a connection.
func logEnd(log zerolog.Logger, r tunnel.Report) {
	e, text := log.Info(), "connection ended"
	if r.Err != nil {
		e, text = log.Warn().Err(r.Err), "connection failed"
	}
	e = e.Int64("connection", r.Number).Str("from", r.From)
	if r.Path != "" {
		e = e.Str("path", string(r.Path))
	}
	if r.Version != "" {
		e = e.Str("tls", r.Version).Str("suite", r.Suite)
	}
	e.Int64("sent", r.Sent).Int64("received", r.Received).Float64("seconds", r.Took.Round(time.Millisecond).Seconds()).Msg(text)
}
