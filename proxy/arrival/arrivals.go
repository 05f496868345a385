package arrival

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// New keeps account of the guests that come to a host.
func New(h *host.Host) *Arrivals { return &Arrivals{Host: h, account: &account{disks: newDisks()}} }

// On are the same guests on the host as another configuration has it, by which those live that come
// from now on.
func (a *Arrivals) On(h *host.Host) *Arrivals { return &Arrivals{Host: h, account: a.account} }

// Load reads what an earlier daemon of this host has noted of guests. It is called once the run
// folder is this daemon's.
func (a *Arrivals) Load() error {
	a.disks.folder = a.Dir.Journal(rundir.DisksDir)
	return a.records.load(a.Dir)
}

// Became is what is known of the guest that a peer has brought by a session; known is false where
// nothing is.
func (a *Arrivals) Became(peer, session string) (v Verdict, known bool) {
	r, known := a.records.get(peer, session)
	return r.Verdict, known
}

// Accept takes a guest's session that a peer has opened: by `sluice migrate`, or for the data of a
// migration that a libvirt client runs.
func (a *Arrivals) Accept(ctx context.Context, info stream.Info, e *session.Entry, log zerolog.Logger) (stream.Handler, func(*stream.Session), error) {
	e.OnCancel(a.CancelAtSource(e))
	if info.Work == session.WorkMigration {
		in := &Migration{arrivals: a, info: info, entry: e, log: log, arrived: make(chan struct{})}
		return in, in.start, in.open(ctx)
	}
	if p := a.Pulls.take(info); p != nil {
		in, err := p.begin(ctx, a, info, e, log)
		if err != nil {
			return nil, nil, err
		}
		return in, in.start, nil
	}
	in := &Steered{arrivals: a, Info: info, entry: e, log: log}
	return in, in.start, in.open()
}

// Arrivals are the guests that come to this host, in whichever way, and what became of them.
type Arrivals struct {
	*host.Host
	*account
}

type account struct {
	Steered SteeredSessions
	Pulls   Pulls
	guests  guests
	records records
	disks   *disks
}
