package host

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"github.com/digitalocean/go-libvirt"
)

// Ports are the migration ports at which libvirt here awaits guests of which it has told by sluice.
type Ports struct {
	mu sync.Mutex
	of map[uint16]awaited
}

// awaited is the guest for which a port is open, and the peer that brings it; empty: not known.
type awaited struct {
	guest libvirt.UUID
	peer  string
}

// Await keeps a port for a guest, until Forget.
func (p *Ports) Await(port uint16, guest libvirt.UUID, peer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[uint16]awaited)
	}
	p.of[port] = awaited{guest, peer}
}

// Forget gives a guest's ports up.
func (p *Ports) Forget(guest libvirt.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.of, func(_ uint16, a awaited) bool { return a.guest == guest })
}

// PortIsFor says whether a peer may reach QEMU at a migration port: it may not where another peer's
// guest is awaited, nor where another guest's QEMU listens than the one that is awaited. Of guests
// of which libvirt has not told by sluice, nothing is known.
func (h *Host) PortIsFor(ctx context.Context, at netip.AddrPort, peer string) error {
	h.Ports.mu.Lock()
	a, known := h.Ports.of[at.Port()]
	h.Ports.mu.Unlock()
	switch {
	case !known:
		return nil
	case a.peer != "" && a.peer != peer:
		return fmt.Errorf("port %d is open for a guest that another peer brings", at.Port())
	}
	qemu, err := h.QEMU(ctx, a.guest)
	if err != nil {
		return err
	}
	defer qemu.Close()
	return qemu.Listens(at)
}
