package proxy

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/gcm"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/intercept"
)

// status is the whole daemon as `sluice status` shows it.
func (d *Daemon) status() *control.Status {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p := d.now()
	st := &control.Status{
		Name:    p.Config.Name,
		Version: d.version,
		Started: d.started,
		Listen:  d.listening(),
		Libvirt: p.Libvirt.Where(ctx),
		Peers:   p.peerStatus(),

		Patterns: slices.Sorted(maps.Keys(p.Config.Patterns())),

		Configuration: d.configuration(p),
		Certificates:  p.Peers.Certs.Status(time.Now()),
		Priority:      p.Peers.Policies.Host.Source,
		AES:           gcm.Chosen().String(),
		Confinement:   d.confinement,
	}
	st.Intercept = intercept.Status(p.Config.Intercept)
	st.Tunnels = d.tunnelStatus(time.Now())
	st.Sessions, st.Ended, st.Draining = d.Sessions.Status()
	st.Leaving = d.leaving()
	st.History = d.history.status()
	d.addEarlier(st)
	return st
}

// Summary is the daemon in a line, for systemctl status.
func (d *Daemon) Summary() string {
	live, _, draining := d.Sessions.Status()
	guests := make(map[string]bool) // a guest may have two sessions
	for _, s := range live {
		if s.Guest != "" {
			guests[s.UUID] = true
		}
	}
	words := fmt.Sprintf("migrations under way: %d, peers: %d", len(guests), len(d.now().Peers.Names()))
	if draining {
		words = "stopping, no new sessions; " + words
	}
	if r := d.refused.Load(); r != nil {
		words += fmt.Sprintf("; the last reload failed at %s, see `sluice status`", r.at.Format(time.TimeOnly))
	} else if keys := d.now().restart; len(keys) > 0 {
		words += "; a restart is needed for " + strings.Join(keys, ", ")
	}
	return words
}

// listening is where peers connect.
func (d *Daemon) listening() string {
	select {
	case <-d.ready:
	default:
		return d.now().Config.Listen
	}
	return d.listener.Addr().String()
}

func (p *parts) peerStatus() []control.PeerStatus {
	out := []control.PeerStatus{}
	for _, name := range p.Peers.Names() {
		q := p.Peers.Get(name)
		out = append(out, control.PeerStatus{
			Name:     q.Name,
			Address:  q.Conf.Address,
			Names:    q.Conf.Names,
			Priority: p.Peers.Policy(q).Source,
			Socket:   filepath.Join(p.Config.RunDir, p.PeerSocket(q)),
		})
	}
	return out
}
