package proxy

import (
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/gcm"
	"github.com/virt-sluice/sluice/proxy/intercept"
)

// status is the whole daemon as `sluice status` shows it.
func (d *Daemon) status() *control.Status {
	st := &control.Status{
		Name:    d.Config.Name,
		Version: d.version,
		Started: d.started,
		Listen:  d.listening(),
		Libvirt: d.Libvirt.Socket,
		Peers:   d.peerStatus(),

		Certificates: d.Peers.Certs.Status(time.Now()),
		Priority:     d.Peers.Certs.Host().Source,
		AES:          gcm.Chosen().String(),
		Confinement:  d.confinement,
	}
	st.Intercept = intercept.Status(d.Config.Intercept)
	st.Tunnels = d.tunnelStatus(time.Now())
	st.Sessions, st.Ended, st.Draining = d.Sessions.Status()
	st.Leaving = d.leaving()
	return st
}

// listening is where peers connect.
func (d *Daemon) listening() string {
	select {
	case <-d.ready:
	default:
		return d.Config.Listen
	}
	return d.listener.Addr().String()
}

func (d *Daemon) peerStatus() []control.PeerStatus {
	out := make([]control.PeerStatus, 0, len(d.Peers.All))
	for _, name := range slices.Sorted(maps.Keys(d.Peers.All)) {
		p := d.Peers.All[name]
		out = append(out, control.PeerStatus{
			Name:     p.Name,
			Address:  p.Conf.Address,
			Names:    p.Conf.Names,
			Priority: d.Peers.Certs.For(p).Source,
			Socket:   filepath.Join(d.Config.RunDir, d.PeerSocket(p)),
		})
	}
	return out
}
