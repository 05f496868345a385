package proxy

import (
	"context"

	"github.com/rs/zerolog"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// New0 keeps account of the guests that come to a host.
func New0(h *host.Host) *Arrivals { return &Arrivals{Host: h} }

// Accept takes a guest's session that a peer has opened: by `sluice migrate`, or for the data of a
// migration that a libvirt client runs.
func (d *Arrivals) Accept(ctx context.Context, info stream.Info, e *session.Entry, log zerolog.Logger) (stream.Handler, func(*stream.Session), error) {
	if info.Work == session.WorkMigration {
		in := &incoming{d: d, info: info, entry: e, log: log, arrived: make(chan struct{})}
		return in, in.start, in.open(ctx)
	}
	if p := d.pulls.take(info); p != nil {
		in := p.begin(d, e, log)
		return in, in.start, nil
	}
	in := &steered{d: d, info: info, entry: e, log: log}
	return in, in.start, in.open()
}

// Arrivals are the guests that come to this host, in whichever way, and what became of them.
type Arrivals struct {
	*host.Host
	steered  steeredSessions
	pulls    pulls
	verdicts verdicts
}
