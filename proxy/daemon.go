package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/observer"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/gateway"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// Options make a Daemon. The first three are needed.
type Options struct {
	Config  *config.Config
	Log     zerolog.Logger
	Version string

	Observer    *observer.Observer   // nil: this process looks itself
	Confinement *control.Confinement // nil: it is not confined
}

// Daemon is one host's sluice.
type Daemon struct {
	*host.Host

	version string
	started time.Time

	confinement *control.Confinement

	arrivals *arrival.Arrivals
	gateway  *gateway.Gateway
	acceptor *stream.Acceptor

	tunnels []*tunnelEntry

	ready    chan struct{}
	draining <-chan struct{} // as Run has it

	// Set by Run.
	listener    net.Listener
	metricsAddr string // empty: nowhere
}

// New checks everything that can be checked before a socket is opened.
func New(o Options) (*Daemon, error) {
	d := &Daemon{
		Host: &host.Host{
			Config:       o.Config,
			Log:          o.Log,
			Observer:     o.Observer,
			Libvirt:      virt.Libvirt{Socket: o.Config.LibvirtSocket, Host: o.Config.Name},
			Sessions:     session.NewRegistry(o.Config.Limits.Sessions, o.Config.Limits.PeerSessions),
			TotalSend:    relay.NewLimiter(o.Config.Limits.TotalBandwidth << 20),
			TotalReceive: relay.NewLimiter(o.Config.Limits.TotalBandwidth << 20),
		},
		version: o.Version,
		started: time.Now(),

		confinement: o.Confinement,

		ready: make(chan struct{}),
	}
	d.arrivals = arrival.New(d.Host)
	d.gateway = gateway.New(d.Host, d.arrivals)
	var err error
	if d.UIDs, err = o.Config.UIDs(); err != nil {
		return nil, err
	}
	if d.QEMUUID, _, err = o.Config.QEMU(); err != nil {
		return nil, err
	}
	if d.Peers, err = peer.New(o.Config, o.Log); err != nil {
		return nil, err
	}
	d.Departures = departure.New(departure.Options{
		Host: d.Config.Name, Libvirt: d.Libvirt, PIDs: d.Config.QEMUPIDs, QEMUUID: d.QEMUUID, Log: d.Log,
		Finish: d.Config.Limits.FinishTimeout, GiveUp: d.Config.Limits.GiveUpTimeout, Ask: d.askOutcome, AskLibvirt: d.askLibvirt,
	})
	if err := d.makeTunnels(); err != nil {
		return nil, err
	}
	d.acceptor = &stream.Acceptor{Host: d.Config.Name, Limits: d.Limits(0), Accept: d.accept, Ask: d.answer, Share: stream.Share{
		Channels: d.Config.Limits.PeerChannels,
		Asks:     d.Config.Limits.PeerAsks,
		Memory:   func(peer string) *stream.Memory { return d.Peers.All[peer].Memory },
	}}
	return d, nil
}

// Reload takes over certificates, revocation lists and GnuTLS's settings as they are now. What is
// not good leaves what was there before in use, and is the error, which has been logged.
func (d *Daemon) Reload() error { return errors.Join(d.Peers.Certs.Reload(), d.reloadTunnels()) }

// Ready is closed when all sockets are open.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

// Run serves until drain is closed or ctx ends, in this order:
//
//  1. The run folder is taken, and all sockets are opened; any that can't be
//     ends Run.
//  2. Once drain is closed no session begins, and those that live go on, for
//     limits.drain_timeout at the most. Peers may still join channels to them.
//  3. Sessions that live yet, or still when ctx ends, fail with the daemon's
//     stop as their cause: each guest goes on where it is.
//  4. Sockets are closed and their files removed, and everything that Run
//     started has ended when it returns.
func (d *Daemon) Run(ctx context.Context, drain <-chan struct{}) error {
	dir, err := rundir.Open(d.Config.RunDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	d.Dir, d.draining = dir, drain
	if err := d.arrivals.Load(); err != nil {
		d.Log.Warn().Err(err).Msg("what became of some guests is not known any more")
	}
	defer d.Work.Wait()
	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	d.Work.Go(func() { d.Peers.Certs.Run(working) })
	d.Work.Go(func() { d.Sessions.Run(working) })
	if err := d.Departures.Start(working, dir, &d.Work); err != nil {
		return err
	}
	closers, err := d.listen(working)
	defer func() {
		for _, c := range closers {
			c()
		}
	}()
	if err != nil {
		return err
	}
	close(d.ready)
	d.Work.Go(d.Peers.TryKernel)
	ready := d.Log.Info()
	if d.metricsAddr != "" {
		ready.Str("metrics", d.metricsAddr)
	}
	ready.Str("listen", d.listening()).Strs("peers", slices.Sorted(maps.Keys(d.Peers.All))).
		Str("certificates", d.Peers.Certs.Current().Found.Why).Str("priority", d.Peers.Certs.Host().Source).Msg("ready")

	select {
	case <-drain:
	case <-ctx.Done():
	}
	empty, over := d.Sessions.Drain(), d.tunnelsOver()
	d.Log.Info().Msg("stopping: no new sessions")
	var limit <-chan time.Time
	if d.Config.Limits.DrainTimeout > 0 {
		t := time.NewTimer(d.Config.Limits.DrainTimeout)
		defer t.Stop()
		limit = t.C
	}
	for empty != nil || over != nil {
		select {
		case <-empty:
			empty = nil
			continue
		case <-over:
			over = nil
			continue
		case <-limit:
			d.Log.Warn().Stringer("after", d.Config.Limits.DrainTimeout).Msg("time to drain is over: sessions and connections of tunnels are cut off (limits.drain_timeout)")
		case <-ctx.Done():
		}
		break
	}
	stop(session.ErrStopping)
	return nil
}

// listen opens all sockets and starts what serves them. It returns what closes
// them, also with an error.
func (d *Daemon) listen(ctx context.Context) (closers []func(), err error) {
	// Control first: it tells another daemon of this host.
	l, err := d.Dir.Listen(rundir.ControlSocket, -1, 0o666)
	if err != nil {
		return closers, err
	}
	server := d.controlServer(ctx)
	closers = append(closers, func() { shutdown(server, shutdownTimeout) })
	d.Work.Go(func() { server.Serve(host.LocalListener{UnixListener: l, Host: d.Host}) })

	var lc net.ListenConfig
	d.listener, err = lc.Listen(ctx, "tcp", d.Config.Listen)
	if err != nil {
		return closers, fmt.Errorf("listen for peers at %s (listen): %w: if libvirtd's own TLS listener has the port, turn it off, or choose another port on both hosts", d.Config.Listen, err)
	}
	closers = append(closers, func() { d.listener.Close() })
	d.Work.Go(func() { d.servePeers(ctx) })

	for _, p := range d.Peers.All {
		if err := d.Dir.Mkdir(filepath.Join(rundir.PeersDir, p.Name), 0o711); err != nil {
			return closers, err
		}
		l, err := d.Dir.Listen(d.PeerSocket(p), -1, 0o666)
		if err != nil {
			return closers, err
		}
		closers = append(closers, func() { l.Close() })
		d.Work.Go(func() { d.gateway.ServeClients(ctx, p, host.LocalListener{UnixListener: l, Host: d.Host}) })
	}

	if d.Config.Intercept != nil {
		more, err := intercept.Listen(ctx, d.Host)
		closers = append(closers, more...)
		if err != nil {
			return closers, err
		}
	}

	ends, err := d.listenTunnels(ctx)
	closers = append(closers, ends...)
	if err != nil {
		return closers, err
	}

	if d.Config.Metrics != "" {
		closer, err := d.listenForScrapes(ctx)
		if err != nil {
			return closers, err
		}
		closers = append(closers, closer)
	}
	return closers, nil
}

// shutdown lets callers have their answers, such as the results of migrations, which end now.
func shutdown(server *http.Server, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

// shutdownTimeout is longer than the longest that a session takes to end.
const shutdownTimeout = 2 * time.Minute
