package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/control"
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

	*tunnel.Tunnel               // set once it listens
	over           chan struct{} // closed when its connections have ended
}

// makeTunnels checks all and loads their certificates. No socket is opened and no
// descriptor looked at.
func (d *Daemon) makeTunnels() error {
	for _, t := range d.now().Config.Tunnels {
		e := &tunnelEntry{conf: t, log: d.Log.With().Str("tunnel", t.Name).Logger(), over: make(chan struct{})}
		err := d.completeTunnel(e)
		if err != nil {
			return fmt.Errorf("tunnel %q: %w", t.Name, err)
		}
		d.tunnels = append(d.tunnels, e)
	}
	return nil
}

func (d *Daemon) completeTunnel(e *tunnelEntry) (err error) {
	p := d.now()
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
		if e.own, err = peer.LoadCertificates(c, e.opts.Policy(), e.log); err != nil {
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

// listenTunnels opens all tunnels, and serves them once all are open, so that no
// command inherits what is another tunnel's.
func (d *Daemon) listenTunnels(ctx context.Context) (closers []func(), err error) {
	for _, e := range d.tunnels {
		if e.Tunnel, err = tunnel.Listen(e.opts); err != nil {
			return closers, fmt.Errorf("tunnel %q: %w", e.conf.Name, err)
		}
		closers = append(closers, func() { e.Close() })
	}
	for _, e := range d.tunnels {
		if e.own != nil {
			d.Work.Go(func() { e.own.Run(ctx) })
		}
		effect := e.Effect()
		e.log.Info().Stringer("address", e.Address()).Str("to", e.conf.To).Str("tls", effect.TLS()).Str("why", effect.Why).Msg("tunnel listens")
		d.Work.Go(func() {
			defer close(e.over)
			if err := e.Serve(ctx, d.notAccepting); err != nil {
				e.log.Error().Err(err).Msg("tunnel ended")
			}
		})
	}
	return closers, nil
}

// tunnelsOver is closed when all tunnels have ended, after a drain.
func (d *Daemon) tunnelsOver() <-chan struct{} {
	over := make(chan struct{})
	d.Work.Go(func() {
		for _, e := range d.tunnels {
			<-e.over
		}
		close(over)
	})
	return over
}

// reloadTunnels takes over what has changed of tunnels' own certificates.
func (d *Daemon) reloadTunnels() (err error) {
	for _, e := range d.tunnels {
		if e.own != nil {
			err = errors.Join(err, e.own.Reload())
		}
	}
	return err
}

// allCertificates are the host's, and those of tunnels that have their own.
func (d *Daemon) allCertificates() []*peer.Certificates {
	all := []*peer.Certificates{d.now().Peers.Certs}
	for _, e := range d.tunnels {
		if e.own != nil {
			all = append(all, e.own)
		}
	}
	return all
}

func (d *Daemon) tunnelStatus(now time.Time) []control.TunnelStatus {
	select {
	case <-d.ready:
	default:
		return nil
	}
	var all []control.TunnelStatus
	for _, e := range d.tunnels {
		all = append(all, e.status(now))
	}
	return all
}

func (e *tunnelEntry) status(now time.Time) control.TunnelStatus {
	effect, is := e.Effect(), e.Tunnel.Status()
	st := control.TunnelStatus{
		Name: e.conf.Name, Listen: e.conf.Listen, Address: e.Address().String(), To: e.conf.To,
		TLS: e.conf.TLS, TLSInEffect: effect.TLS(), TLSWhy: effect.Why,
		Connections: []control.TunnelConnection{}, Ended: []control.TunnelConnection{},
		Done: is.Done, Failed: is.Failed, Sent: uint64(is.Sent), Received: uint64(is.Received),
	}
	if effect.TLS() == spec.Yes {
		st.Priority, st.Certificates = e.opts.Policy().Source, e.opts.Credentials.Current().Found.Why
	}
	if effect.Listen {
		st.TLSSides, st.Allow = append(st.TLSSides, "listen"), e.conf.Allow
	}
	if effect.To {
		st.TLSSides, st.ServerName = append(st.TLSSides, "to"), cmp.Or(e.conf.TLSName, e.opts.To.Host())
	}
	if e.own != nil {
		own := e.own.Status(now)
		st.Own = &own
	}
	select {
	case <-e.over:
		st.Over = true
	default:
	}
	for _, c := range is.Live {
		st.Connections = append(st.Connections, control.TunnelConnection{
			Number: c.Number, From: c.From, Started: c.Began, Path: c.Path, TLS: c.Version, Suite: c.Suite, Sent: uint64(c.Sent), Received: uint64(c.Received),
		})
	}
	for _, r := range is.Ended {
		c := control.TunnelConnection{
			Number: r.Number, From: r.From, Started: r.Began, Ended: r.Began.Add(r.Took), Path: string(r.Path), TLS: r.Version, Suite: r.Suite,
			Sent: uint64(r.Sent), Received: uint64(r.Received), Command: r.Command,
		}
		if r.Err != nil {
			c.Cause = r.Err.Error()
		}
		st.Ended = append(st.Ended, c)
	}
	return st
}
