package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// pull is a guest that waits here for a session that another host's sluice
// opens, since the client that moves it says so there: a local one that takes
// it from a peer's libvirt, and has had it prepared here, past sluice; or one
// that speaks with both hosts' libvirt through their sluices (meet).
type pull struct {
	peer, uuid   string // peer: empty for any
	memory, disk string // where QEMU listens: HOST:PORT on this host, or the name of a socket in dir
	dir          rundir.SessionDir
	postcopy     bool
}

// pulls are those whose Perform is under way, by the ID that their session
// will have.
type pulls struct {
	mu sync.Mutex
	m  map[string]*pull
}

func (ps *pulls) add(id string, p *pull) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.m == nil {
		ps.m = make(map[string]*pull)
	}
	ps.m[id] = p
}

// take finds the pull that a session is for, once.
func (ps *pulls) take(info stream.Info) *pull {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.m[info.ID]
	if p == nil || p.peer != "" && p.peer != info.Peer || p.uuid != info.UUID {
		return nil
	}
	delete(ps.m, info.ID)
	return p
}

func (ps *pulls) remove(id string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.m, id)
}

// pulled is the destination's half of a pull's session.
type pulled struct {
	*pull
	d     *Arrivals
	entry *session.Entry
	log   zerolog.Logger
}

func (p *pull) begin(d *Arrivals, e *session.Entry, log zerolog.Logger) *pulled {
	disks := ""
	if p.disk != "" {
		disks = session.BySluice
	}
	e.SecuredBy(session.BySluice, disks)
	e.SetPhase(control.PhaseMemory)
	return &pulled{p, d, e, log}
}

func (p *pulled) start(s *stream.Session) {
	p.entry.SetSession(s)
	if p.postcopy {
		s.Unbound()
	}
}

// Connect connects to QEMU's port, which must be this host's own: beyond it
// the guest would go in clear.
func (p *pulled) Connect(ctx context.Context, kind string, _ int) (net.Conn, error) {
	address := map[string]string{stream.ChannelMemory: p.memory, stream.ChannelDisk: p.disk}[kind]
	if address == "" {
		return nil, fmt.Errorf("the migration has no %s channels", kind)
	}
	if p.dir.Made() {
		c, err := p.dir.Connect(address, p.d.QEMUUID)
		if err != nil {
			return nil, err // not c: an interface would hold its nil
		}
		return c, nil
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
	return c, nil
}

func (p *pulled) Call(context.Context, string, []byte) (any, error) {
	return nil, errors.New("a steered migration's session has no calls: libvirt's go beside it")
}

func (p *pulled) End(cause *stream.Cause) {
	p.d.Sessions.EndMigration(p.entry, p.log, cause.Done(), cause)
}
