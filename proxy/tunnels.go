package proxy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// tunnelEntry is one [[tunnel]].
type tunnelEntry struct {
	conf config.Tunnel
	opts tunnel.Options
	log  zerolog.Logger
	own  *peer.Certificates // nil: the host's

	*tunnel.Tunnel // set once it listens
	serving        *serving
	change         func() error // has the connections to come go by opts, where Tunnel is that of an earlier entry
}

// serving is a tunnel's accepting, which may outlive an entry.
type serving struct {
	stop    func() // closes stopped
	stopped chan struct{}
	over    chan struct{} // closed when its connections have ended
}

func newServing() *serving {
	stopped := make(chan struct{})
	return &serving{stop: sync.OnceFunc(func() { close(stopped) }), stopped: stopped, over: make(chan struct{})}
}

// makeTunnels makes those of p's configuration: entries that are as before, entries for tunnels
// that listen already, and such as still have to. All are checked and their certificates loaded; no
// socket is opened and no descriptor looked at.
func (d *Daemon) makeTunnels(before []*tunnelEntry, p *parts) error {
	for _, t := range p.Config.Tunnels {
		var was *tunnelEntry
		if i := slices.IndexFunc(before, func(e *tunnelEntry) bool { return e.listensFor(t) }); i >= 0 {
			was = before[i]
		}
		if was != nil && was.opts.Host == p.Config.TunnelHost() && reflect.DeepEqual(was.conf, t) {
			p.tunnels = append(p.tunnels, was)
			continue
		}
		e := &tunnelEntry{conf: t, log: d.Log.With().Str("tunnel", t.Name).Logger()}
		err := d.completeTunnel(e, p)
		if err == nil && was != nil && was.opts.Listen.Kind != spec.Exec && !was.ended() {
			e.Tunnel, e.serving = was.Tunnel, was.serving
			e.change, err = e.Change(e.opts)
		}
		if err != nil {
			return fmt.Errorf("tunnel %q: %w", t.Name, err)
		}
		p.tunnels = append(p.tunnels, e)
	}
	return nil
}

// listensFor says whether e listens where t is to: at the same address, or, where others may have the
// same, as the tunnel of that name.
func (e *tunnelEntry) listensFor(t config.Tunnel) bool {
	at := e.opts.Listen
	shared := at.Kind == spec.Exec || at.Kind == spec.FD || strings.HasSuffix(at.At, ":0")
	return e.conf.Listen == t.Listen && (!shared || e.conf.Name == t.Name)
}

func (d *Daemon) completeTunnel(e *tunnelEntry, p *parts) (err error) {
	if e.opts.Spec, err = e.conf.Spec(p.Config.TunnelHost()); err != nil {
		return err
	}
	e.opts.Kernel = p.Peers.TLS().Kernel
	e.opts.Policy = func() *tlsconf.Policy { return d.now().tunnelPolicy(e.conf.Name) }
	e.opts.Credentials = hostCertificates{d}
	if c := e.conf.Certificates; c.Given() {
		effect, err := e.opts.Effect() // with an error both roles are needed, for all that is known here
		if err == nil {
			c = c.As(config.TunnelRole(effect))
		}
		if e.own, err = peer.LoadCertificates(c, p.tunnelPolicy(e.conf.Name), e.log); err != nil {
			return err
		}
		e.opts.Credentials = e.own
	}
	e.opts.Send, e.opts.Receive = []*relay.Limiter{d.TotalSend}, []*relay.Limiter{d.TotalReceive}
	e.opts.Sockets = d.Sockets.Listen
	e.opts.Ended = func(r tunnel.Report) { r.Log(e.log) }
	e.opts.Trouble = func(err error) { e.log.Error().Err(err).Msg("accept a connection") }
	return nil
}

// hostCertificates are the host's, as the configuration in use has them.
type hostCertificates struct{ d *Daemon }

func (h hostCertificates) Current() *tlsconf.Credentials { return h.d.now().Peers.Certs.Current() }

// tunnelPolicy is that of a tunnel.
func (p *parts) tunnelPolicy(name string) *tlsconf.Policy {
	for i, t := range p.Config.Tunnels {
		if t.Name == name {
			return p.Peers.Policies.Tunnels[i]
		}
	}
	return p.Peers.Policies.Host
}

// openTunnels opens those of p that do not listen yet, or none. They are served once all are open,
// so that no command inherits what is another tunnel's.
func (d *Daemon) openTunnels(p *parts) error {
	var opened []*tunnelEntry
	for _, e := range p.tunnels {
		if e.Tunnel != nil {
			continue
		}
		var err error
		if e.Tunnel, err = tunnel.Listen(e.opts); err != nil {
			for _, o := range opened {
				o.Close()
			}
			return fmt.Errorf("tunnel %q: %w", e.conf.Name, err)
		}
		e.serving = newServing()
		opened = append(opened, e)
	}
	return nil
}

// serveTunnels has the tunnels in use served, in place of those before. What has no place among
// them accepts no more, and its connections go on.
func (d *Daemon) serveTunnels(before []*tunnelEntry) {
	now := d.now().tunnels
	for _, e := range now {
		if slices.Contains(before, e) {
			continue
		}
		if e.own != nil {
			d.follow(e.own)
		}
		verb := "tunnel listens"
		if e.change != nil {
			verb = "tunnel changed"
			if err := e.change(); err != nil {
				e.log.Error().Err(err).Msg("the tunnel's user may not be able to connect")
			}
		} else {
			d.serveTunnel(e)
		}
		effect := e.Effect()
		e.log.Info().Stringer("address", e.Address()).Str("to", e.conf.To).Str("tls", effect.TLS()).Str("why", effect.Why).Msg(verb)
	}
	for _, e := range before {
		if slices.Contains(now, e) {
			continue
		}
		if e.own != nil {
			e.own.Stop()
		}
		if !d.now().serves(e) {
			e.serving.stop()
			e.StopAccepting() // a reload that follows may have another listen there
			e.log.Info().Msg("tunnel accepts no more: it is not in the configuration any longer")
		}
	}
}

// serves says whether a tunnel is p's as well, be it with other settings.
func (p *parts) serves(e *tunnelEntry) bool {
	return slices.ContainsFunc(p.tunnels, func(n *tunnelEntry) bool { return n.serving == e.serving })
}

func (d *Daemon) serveTunnel(e *tunnelEntry) {
	d.tunnelsServed.Go(func() {
		defer close(e.serving.over)
		if err := e.Serve(d.working, e.serving.stopped); err != nil {
			e.log.Error().Err(err).Msg("tunnel ended")
		}
	})
}

// tunnelsOver has all tunnels accept no more, and is closed when all have ended.
func (d *Daemon) tunnelsOver() <-chan struct{} {
	for _, e := range d.now().tunnels {
		e.serving.stop()
	}
	over := make(chan struct{})
	d.Work.Go(func() {
		d.tunnelsServed.Wait()
		close(over)
	})
	return over
}

// reloadTunnels takes over what has changed of tunnels' own certificates.
func (d *Daemon) reloadTunnels() (err error) {
	for _, e := range d.now().tunnels {
		if e.own != nil {
			err = errors.Join(err, e.own.Reload())
		}
	}
	return err
}

// allCertificates are the host's, and those of tunnels that have their own.
func (d *Daemon) allCertificates() []*peer.Certificates {
	all := []*peer.Certificates{d.now().Peers.Certs}
	for _, e := range d.now().tunnels {
		if e.own != nil {
			all = append(all, e.own)
		}
	}
	return all
}
