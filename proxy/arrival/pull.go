package arrival

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// Pull is a guest that waits here for a session that another host's sluice
// opens, since the client that moves it says so there: a local one that takes
// it from a peer's libvirt, and has had it prepared here, past sluice; or one
// that speaks with both hosts' libvirt through their sluices (rendezvous).
type Pull struct {
	Peer, UUID   string // peer: empty for any
	Memory, Disk string // where QEMU listens: HOST:PORT on this host, or the name of a socket in dir
	Dir          rundir.SessionDir
	Postcopy     bool     // it may switch to post-copy, which libvirt here says
	URIs         []string // of its client's own, in whose place the session carries it
	// Life is the guest's here, and Cut ends the connection that prepared it: a rendezvous has
	// both. Of a guest that was prepared past sluice nobody here sees the Finish.
	Life *Guest
	Cut  func(error)

	entry atomic.Pointer[session.Entry] // its session's, once that has come
}

// Phase shows what the migration is at.
func (p *Pull) Phase(phase string) {
	if e := p.entry.Load(); e != nil {
		e.SetPhase(phase)
	}
}

// Pulls are those whose Perform is under way, by the ID that their session will have.
type Pulls struct {
	mu sync.Mutex
	m  map[string]*Pull
}

func (ps *Pulls) Add(id string, p *Pull) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.m == nil {
		ps.m = make(map[string]*Pull)
	}
	ps.m[id] = p
}

// Waits says whether a guest waits here for this session, because somebody on this host takes it.
func (ps *Pulls) Waits(info stream.Info) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.find(info) != nil
}

// IDs are those of the sessions that guests wait for.
func (ps *Pulls) IDs() []string {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return slices.Collect(maps.Keys(ps.m))
}

// find is the pull that a session is for.
func (ps *Pulls) find(info stream.Info) *Pull {
	p := ps.m[info.ID]
	if p == nil || p.Peer != "" && p.Peer != info.Peer || p.UUID != info.UUID {
		return nil
	}
	return p
}

// take finds the pull that a session is for, once.
func (ps *Pulls) take(info stream.Info) *Pull {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.find(info)
	if p != nil {
		delete(ps.m, info.ID)
	}
	return p
}

func (ps *Pulls) Remove(id string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.m, id)
}

// pulledGuest is the destination's half of a pull's session.
type pulledGuest struct {
	*Pull
	arrivals *Arrivals
	entry    *session.Entry
	log      zerolog.Logger
	uuid     libvirt.UUID
	session  *stream.Session // set before anything comes to it
	looks    sync.WaitGroup
}

func (p *Pull) begin(ctx context.Context, a *Arrivals, info stream.Info, e *session.Entry, log zerolog.Logger) (*pulledGuest, error) {
	uuid, _ := virt.ParseUUID(p.UUID) // as it was made here
	if err := p.knownBy(ctx, a, info, uuid); err != nil {
		return nil, err
	}
	disks := ""
	if p.Disk != "" {
		disks = session.BySluice
	}
	e.SecuredBy(session.BySluice, disks)
	e.SetPhase(control.PhaseMemory)
	if len(p.URIs) > 0 {
		e.InPlaceOf(log, p.URIs)
	}
	p.entry.Store(e)
	return &pulledGuest{Pull: p, arrivals: a, entry: e, log: log, uuid: uuid}, nil
}

// knownBy makes the guest known by the session of its source, which asks what became of it.
func (p *Pull) knownBy(ctx context.Context, a *Arrivals, info stream.Info, uuid libvirt.UUID) error {
	if p.Life != nil {
		return p.Life.From(info.Peer)
	}
	id, err := a.Libvirt.ID(ctx, uuid)
	if err != nil {
		return err
	}
	return a.records.set(record{Peer: info.Peer, Session: info.ID, UUID: p.UUID, ID: id})
}

func (p *pulledGuest) start(s *stream.Session) {
	p.session = s
	p.entry.SetSession(s)
	if p.Postcopy {
		p.looks.Go(func() {
			p.arrivals.AwaitPostcopy(s.Context(), p.uuid, func() {
				s.Unbound()
				p.entry.SetPhase(control.PhasePost)
			})
		})
	}
}

// Connect connects to QEMU's port, which must be this host's own: beyond it
// the guest would go in clear.
func (p *pulledGuest) Connect(ctx context.Context, kind string, _ int) (net.Conn, error) {
	address := map[string]string{stream.ChannelMemory: p.Memory, stream.ChannelDisk: p.Disk}[kind]
	if address == "" {
		return nil, fmt.Errorf("the migration has no %s channels", kind)
	}
	if p.Dir.Made() {
		return orNil(p.arrivals.ConnectQEMU(ctx, p.Dir, address, p.uuid))
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if !c.LocalAddr().(*net.TCPAddr).IP.Equal(c.RemoteAddr().(*net.TCPAddr).IP) {
		c.Close()
		return nil, fmt.Errorf("%s, where libvirt's QEMU was to listen, is not on this host", address)
	}
	qemu, err := p.arrivals.QEMU(ctx, p.uuid)
	if err == nil {
		err = qemu.Listens(c.RemoteAddr().(*net.TCPAddr).AddrPort())
		qemu.Close()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s is not used: %w", address, err)
	}
	return c, nil
}

func (p *pulledGuest) Call(_ context.Context, name string, body []byte) (any, error) {
	return nil, progressAlone(p.entry, name, body)
}

// LocalGone is as Steered has it.
func (p *pulledGuest) LocalGone(cause *stream.Cause) {
	if p.Life == nil || !p.Life.CalledOff() {
		p.looks.Go(func() { p.arrivals.Libvirt.FailIfQEMUEnded(p.session, p.uuid, cause) })
	}
}

func (p *pulledGuest) End(cause *stream.Cause) {
	p.looks.Wait()
	ran := cause.Done()
	if p.Life != nil {
		ran = p.Life.GivenUp(p.Cut, cause) == Ran
	}
	if ran {
		p.entry.Downtime(p.arrivals.Downtime(p.uuid))
	}
	p.arrivals.Sessions.EndMigration(p.entry, p.log, ran, cause)
}

// orNil is a connection as a net.Conn, which would hold the nil of one that is none.
func orNil(c *net.UnixConn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}
