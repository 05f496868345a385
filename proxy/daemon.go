package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/observer"
	"github.com/virt-sluice/sluice/internal/telemetry"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/gateway"
	"github.com/virt-sluice/sluice/proxy/handover"
	"github.com/virt-sluice/sluice/proxy/host"
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
	Follow  bool // a process that has the run folder, if there is one

	Observer    *observer.Observer   // nil: this process looks itself
	Confinement *control.Confinement // nil: it is not confined
}

// Daemon is one host's sluice.
type Daemon struct {
	*host.State

	version string
	started time.Time

	confinement *control.Confinement

	inUse     atomic.Pointer[parts]
	reloading sync.Mutex
	refused   atomic.Pointer[refusedConfig] // nil: the last one that was read is in use
	failures  atomic.Uint64                 // of reloads
	acceptor  *stream.Acceptor

	tunnelsServed sync.WaitGroup

	following bool // Options.Follow
	process   handover.Process
	offer     *handover.Offer
	earlier   earlier
	history   *recorder
	durations *durations
	traces    *telemetry.Tracer // nil: none are sent

	ready     chan struct{}
	stopAsked chan bool // by the process that has followed this one

	// Set by Run.
	working  context.Context // ends with the daemon's stop
	listener net.Listener
	open     map[string]*socket // that the configuration asks for; guarded by reloading

	metricsAddr atomic.Pointer[string] // nil: nowhere
	pageAddr    atomic.Pointer[string] // the same
}

// parts are the daemon's, as one configuration has them. They are not changed: each connection and
// each request takes those that are in use once, when it comes.
type parts struct {
	*host.Host
	arrivals *arrival.Arrivals
	gateway  *gateway.Gateway
	tunnels  []*tunnelEntry
	loaded   time.Time
	restart  []string // keys that differ in the files, and take a restart
}

// now are the parts in use.
func (d *Daemon) now() *parts { return d.inUse.Load() }

// New checks everything that can be checked before a socket is opened.
func New(o Options) (*Daemon, error) {
	l := o.Config.Limits
	d := &Daemon{
		State: &host.State{
			Log:          o.Log,
			Observer:     o.Observer,
			Sessions:     session.NewRegistry(l.Sessions, l.PeerSessions),
			TotalSend:    relay.NewShared(l.TotalBandwidth << 20),
			TotalReceive: relay.NewShared(l.TotalBandwidth << 20),
			Sockets:      handover.NewSockets(),
			Probing:      make(chan struct{}, 1),
		},
		confinement: o.Confinement,

		version:   o.Version,
		following: o.Follow,
		started:   time.Now(),
		ready:     make(chan struct{}),
		stopAsked: make(chan bool, 16),
		open:      make(map[string]*socket),
	}
	d.acceptor = &stream.Acceptor{Host: o.Config.Name, Elsewhere: d.clearElsewhere}
	d.process = handover.Process{ID: rand.Text()[:10], PID: os.Getpid(), Version: o.Version, Started: d.started}
	d.offer = &handover.Offer{Process: d.process, Sockets: d.Sockets, Log: o.Log, Pass: d.passed, Stop: d.askedToStop, Handed: make(chan struct{})}
	d.history, d.durations = d.newRecorder(o.Config.StateDir), newDurations()
	d.Sessions.Keeper, d.Sessions.OnEnd = control.Keeper{Host: o.Config.Name, Version: o.Version, PID: d.process.PID}, d.sessionEnded
	peers, err := peer.New(o.Config, o.Log)
	if err != nil {
		return nil, err
	}
	peers.Elsewhere = d.elsewhere
	peers.Worker = func(ctx context.Context) error { return d.now().Libvirt.Worker(ctx) }
	p := &parts{loaded: d.started}
	if p.Host, err = d.host(o.Config, peers); err != nil {
		return nil, err
	}
	p.arrivals = arrival.New(p.Host)
	p.gateway = gateway.New(p.Host, p.arrivals)
	d.Departures = departure.New(departure.Options{
		Host: o.Config.Name, Process: d.process.ID, Lives: d.earlier.lives, Libvirt: p.Libvirt, PIDs: o.Config.QEMUPIDs, QEMUUID: p.QEMUUID, Log: d.Log, Ask: d.askOutcome, AskLibvirt: d.askLibvirt, Settled: d.departureSettled,
		Limits: func() departure.Limits {
			l := d.now().Config.Limits
			return departure.Limits{Finish: l.FinishTimeout, GiveUp: l.GiveUpTimeout}
		},
	})
	if err := d.makeTunnels(nil, p); err != nil {
		return nil, err
	}
	d.take(p)
	return d, nil
}

// host is this host as a configuration has it.
func (d *Daemon) host(cfg *config.Config, peers *peer.Set) (*host.Host, error) {
	h := &host.Host{Config: cfg, Peers: peers, State: d.State, Libvirt: virt.Libvirt{Socket: cfg.LibvirtSocket, Host: cfg.Name}}
	if at := cfg.Telemetry.OTLP; at != "" {
		if err := telemetry.Check(at); err != nil {
			return nil, err
		}
	}
	var err error
	if h.UIDs, err = cfg.UIDs(); err != nil {
		return nil, err
	}
	h.QEMUUID, _, err = cfg.QEMU()
	return h, err
}

// take puts parts in use.
func (d *Daemon) take(p *parts) {
	p.TakeEffect()
	d.inUse.Store(p)
}

// Ready is closed when all sockets are open.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

// Followed is closed when another process of this host's sluice serves in place of this one.
func (d *Daemon) Followed() <-chan struct{} { return d.offer.Handed }

// Run serves until drain is closed or ctx ends, in this order:
//
//  1. The run folder is taken, and all sockets are opened; any that can't be
//     ends Run. If another process of sluice has the folder, and its sockets,
//     they are taken over from that one, which serves until all is ready here.
//  2. Once drain is closed no session begins, and those that live go on, for
//     limits.drain_timeout at the most. Peers may still join channels to them.
//     An earlier process of this host's sluice that lives has to end as well.
//     If a later one has followed this one, that is like drain, but without
//     that limit, and clients that have connected may still begin.
//  3. Sessions that live yet, or still when ctx ends, fail with the daemon's
//     stop as their cause: each guest goes on where it is.
//  4. Sockets are closed and their files removed, and everything that Run
//     started has ended when it returns.
func (d *Daemon) Run(ctx context.Context, drain <-chan struct{}) error {
	taking, err := d.openRunDir()
	if err != nil {
		return err
	}
	ended, err := d.answerProcesses()
	defer func() { // nothing of this process is left when others may see to its guests and folders
		d.Dir.Close()
		if ended != nil {
			ended()
		}
	}()
	if taking != nil {
		defer taking.Close()
	}
	if err != nil {
		return err
	}
	shared := taking != nil // with a process that serves
	defer d.Sockets.Close()
	defer d.earlier.close()
	if err := d.now().arrivals.Load(); err != nil {
		d.Log.Warn().Err(err).Msg("what became of some guests is not known any more")
	}
	if at := d.now().Config.Telemetry.OTLP; at != "" {
		if d.traces, err = telemetry.Start(telemetry.Options{Collector: at, Host: d.now().Config.Name, Version: d.version, Log: d.Log}); err != nil {
			return err
		}
		defer d.traces.Close()
	}
	d.startHistory()
	defer d.history.close() // once nothing ends any more
	defer d.Work.Wait()
	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	d.working = working
	d.follow(d.now().Peers.Certs)
	d.Work.Go(func() { d.Sessions.Run(working) })
	closers, err := d.listen(working)
	defer func() {
		if shared { // they live on with the other process
			d.Sockets.StopAccepting()
		}
		for _, c := range closers {
			c()
		}
	}()
	if err == nil && taking != nil {
		err = d.takeTurn(ctx, taking)
	}
	if err == nil {
		err = d.Departures.Start(working, d.Dir, &d.Work)
	}
	if err != nil {
		return err
	}
	shared = false
	d.Dir.Share(false)
	d.attend(working)
	d.Work.Go(func() { d.now().arrivals.SettleDisks(working) })
	d.Sockets.Accept()
	d.offer.Accepting.Store(true)
	close(d.ready)
	p := d.now()
	d.Work.Go(p.Peers.TryKernel)
	d.Work.Go(func() { d.meet(working) })
	ready := d.Log.Info()
	if at := d.metricsAddr.Load(); at != nil {
		ready.Str("metrics", *at)
	}
	if at := d.pageAddr.Load(); at != nil {
		ready.Str("page", *at)
	}
	ready.Str("listen", d.listening()).Strs("peers", p.Config.PeerNames()).
		Str("certificates", p.Peers.Certs.Current().Found.Why).Str("priority", p.Peers.Policies.Host.Source).Msg("ready")

	ctx, drain, done := d.stops(ctx, drain)
	defer done()
	select {
	case <-drain:
	case <-ctx.Done():
	case <-d.offer.Handed:
		shared = true
		d.finishFollowed(ctx, drain)
	}
	empty, over, alone := d.Sessions.Drain(), d.tunnelsOver(), d.earlier.over()
	handed := d.offer.Handed
	if shared {
		handed, alone = nil, nil // they are the later process's
	} else {
		d.earlier.stop(false)
	}
	d.Log.Info().Msg("stopping: no new sessions")
	var limit <-chan time.Time
	patience := d.now().Config.Limits.DrainTimeout
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		limit = t.C
	}
	for empty != nil || over != nil || alone != nil {
		select {
		case <-empty:
			empty = nil
			continue
		case <-over:
			over = nil
			continue
		case <-alone:
			alone = nil
			continue
		case <-handed: // it was started while this one drains
			d.Log.Info().Msg(followedWords)
			handed, alone = nil, nil
			continue
		case <-limit:
			d.Log.Warn().Stringer("after", patience).Msg("time to drain is over: sessions and connections of tunnels are cut off (limits.drain_timeout)")
		case <-ctx.Done():
		}
		break
	}
	d.offer.Ending()
	select {
	case <-d.offer.Handed:
		shared, alone = true, nil
		d.Dir.Share(true)
	default:
	}
	stop(session.ErrStopping)
	if alone != nil {
		d.Log.Info().Ints("processes", d.earlier.pids()).Msg("waiting for earlier sluices of this host to end")
		d.earlier.stop(true)
		<-alone
	}
	return nil
}

// listen opens all sockets and starts what serves them. It returns what closes
// them, also with an error.
func (d *Daemon) listen(ctx context.Context) (closers []func(), err error) {
	// Control first: it tells another daemon of this host.
	l, err := d.listenLocally(rundir.ControlSocket)
	if err != nil {
		return closers, err
	}
	server := d.controlServer(ctx)
	closers = append(closers, func() { shutdown(server, shutdownTimeout) })
	d.Work.Go(func() { server.Serve(l) })

	own, err := d.listenForProcesses()
	if err != nil {
		return closers, err
	}
	d.Work.Go(func() { server.Serve(own) })

	at := d.now().Config.Listen
	d.listener, err = d.Sockets.Listen("peers "+at, func() (net.Listener, error) {
		var lc net.ListenConfig
		return lc.Listen(ctx, "tcp", at)
	})
	if err != nil {
		return closers, fmt.Errorf("listen for peers at %s (listen): %w: if libvirtd's own TLS listener has the port, turn it off, or choose another port on both hosts", at, err)
	}
	closers = append(closers, func() { d.listener.Close() })
	d.Work.Go(func() { d.servePeers(ctx) })

	closers = append(closers, d.closeSockets)
	opened, err := d.openSockets(d.now())
	if err != nil {
		return closers, err
	}
	d.makeToken()
	d.serveSockets(opened)

	if err := d.openTunnels(d.now()); err != nil {
		return closers, err
	}
	d.serveTunnels(nil)
	return closers, nil
}

// listenLocally listens at a socket of this host's users.
func (d *Daemon) listenLocally(name string) (host.LocalListener, error) {
	l, err := d.Sockets.Listen(name, func() (net.Listener, error) { return d.Dir.Listen(name, -1, 0o666) })
	return d.callers(l), err
}

// callers are those of a local socket, each judged by the configuration in use when it comes.
func (d *Daemon) callers(l net.Listener) host.LocalListener {
	return host.LocalListener{Listener: l, Host: func() *host.Host { return d.now().Host }}
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
