package proxy

import (
	"cmp"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

func (d *Daemon) tunnelStatus(now time.Time) []control.TunnelStatus {
	select {
	case <-d.ready:
	default:
		return nil
	}
	var all []control.TunnelStatus
	for _, e := range d.now().tunnels {
		all = append(all, e.status(now))
	}
	return all
}

// ended says whether there will be no other connection.
func (e *tunnelEntry) ended() bool {
	select {
	case <-e.serving.over:
		return true
	default:
		return false
	}
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
	st.Over = e.ended()
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
