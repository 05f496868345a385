package lab

import (
	"context"
	"fmt"
	"strings"
)

// A Place is what a host knows of a guest.
type Place struct {
	Host  *Host
	State string // libvirt's word, such as "running", "paused", "shut off"; "" when the host does not know the guest
	QEMU  []int  // pids of the QEMU processes that carry its name
}

func (p Place) String() string {
	state := p.State
	if state == "" {
		state = "absent"
	}
	if len(p.QEMU) > 0 {
		state += fmt.Sprintf(" with QEMU %v", p.QEMU)
	}
	return state + " on " + p.Host.Name
}

// WhereRuns returns what each of the hosts knows of the guest of that name, host A first.
func (l *Lab) WhereRuns(ctx context.Context, name string) ([]Place, error) {
	return l.places(ctx, name, name)
}

func (g *Guest) places(ctx context.Context) ([]Place, error) {
	return g.lab.places(ctx, g.Domain(), g.Name)
}

// places is WhereRuns for the guest that virsh knows as domain.
func (l *Lab) places(ctx context.Context, domain, name string) ([]Place, error) {
	var places []Place
	for _, h := range l.Hosts() {
		p := Place{Host: h}
		state, err := h.Virsh(ctx, "domstate", domain)
		switch {
		case err == nil:
			p.State = state
		case !strings.Contains(err.Error(), "failed to get domain") && !strings.Contains(err.Error(), "Domain not found"): // the latter if it ends meanwhile
			return nil, err
		}
		if p.QEMU, err = h.QEMU(name); err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}

// CheckOnlyOn checks that the guest runs on h and is nowhere else: there alone it has a QEMU, and
// it goes on making passes; every word of its memory is right; and no other host knows it, or, when it
// is persistent, has it shut off. A paused guest (GuestSpec.Paused) has to be paused
// there and makes no passes.
func (l *Lab) CheckOnlyOn(ctx context.Context, g *Guest, h *Host) error {
	places, err := g.places(ctx)
	if err != nil {
		return err
	}
	want := "running"
	if g.Spec.Paused {
		want = "paused"
	}
	for _, p := range places {
		here := p.Host == h && p.State == want && len(p.QEMU) == 1
		away := p.Host != h && (p.State == "" || p.State == "shut off" && g.Spec.Persistent) && len(p.QEMU) == 0
		if !here && !away {
			return fmt.Errorf("guest %s: want it %s on %s alone; it is %v", g.Name, want, h.Name, places)
		}
	}
	if !g.Spec.Paused {
		if err := g.WaitPasses(ctx, h, 2); err != nil {
			return err
		}
	}
	return g.CheckMemory(ctx, h)
}
