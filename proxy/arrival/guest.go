package arrival

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Bringer is who brings a guest: a peer or a client by its name in the configuration, and the
// session by which the guest's source asks what became of it.
type Bringer struct{ Name, Session string }

// Guest is one guest's life at this host, from its Prepare until libvirt holds it as its own or not
// at all:
//
//	claimed ─ Prepared ─> prepared ─ Finishing ─> asked ─ Finished ─> ran, never ran, or undecided
//
// It is known by its UUID, and once libvirt has started a QEMU for it by libvirt's id as well,
// which no other guest gets. As long as it lives, nobody else may bring a guest of its UUID or its
// name. Every front end drives it, and none keeps account of its own.
type Guest struct {
	UUID libvirt.UUID
	Name string // at this host
	By   Bringer

	arrivals *Arrivals
	flags    libvirt.DomainMigrateFlags

	mu        sync.Mutex
	source    string // the peer that asks what became of it, where that is not who brings it
	id        int32  // libvirt's; 0 as long as there is no QEMU
	pid       int    // of its QEMU; 0 if it was not found
	started   uint64 // with the pid, one process
	asked     bool   // libvirt has been asked to take it over
	calledOff bool   // libvirt has been asked to end it instead
	over      bool
	verdict   Verdict
	done      chan struct{} // closed when it is over
}

// Claim begins a guest's life here, for one Prepare. It fails while somebody else brings a guest of
// this UUID or name.
func (a *Arrivals) Claim(ctx context.Context, by Bringer, uuid libvirt.UUID, name string, flags libvirt.DomainMigrateFlags) (*Guest, error) {
	g := &Guest{UUID: uuid, Name: name, By: by, arrivals: a, flags: flags, done: make(chan struct{})}
	for {
		other := a.guests.add(g)
		if other == nil {
			if err := g.claim(); err != nil {
				return nil, err
			}
			a.settleOf(ctx, virt.FormatUUID(uuid))
			return g, nil
		}
		if !other.endLost(ctx) {
			return nil, fmt.Errorf("guest %s (%s) is on its way to %s already: %s brings it", other.Name, virt.FormatUUID(other.UUID), a.Config.Name, other.By.Name)
		}
	}
}

// endLost ends the guest's life if its QEMU died before anybody asked for it, and says whether it
// is over.
func (g *Guest) endLost(ctx context.Context) bool {
	g.mu.Lock()
	id := g.id
	g.mu.Unlock()
	if id == 0 {
		return false
	}
	if is, err := g.arrivals.Libvirt.ID(ctx, g.UUID); err != nil || is == id {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over && (g.asked || g.calledOff) { // meanwhile: its Finish may be on its way to libvirt
		return false
	}
	g.end(NeverRan)
	return true
}

// Prepared follows libvirt's Prepare: it learns by which id libvirt knows the guest.
func (g *Guest) Prepared(ctx context.Context) error {
	if g.flags&libvirt.MigrateOffline != 0 {
		return nil // there is a definition, and no QEMU
	}
	id, err := g.arrivals.Libvirt.ID(ctx, g.UUID)
	switch {
	case err != nil:
		return fmt.Errorf("look for the guest that was prepared: %w", err)
	case id == 0:
		return fmt.Errorf("the guest that was prepared has ended already%s", g.arrivals.Libvirt.QEMUEnded(g.Name))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.id = id
	if p, err := virt.FindQEMU(g.arrivals.Config.QEMUPIDs, g.Name, g.UUID, g.arrivals.QEMUUID); err == nil {
		g.pid, g.started = p.PID, p.Started
		p.Close()
	}
	return nil
}

// ID is libvirt's, 0 for none.
func (g *Guest) ID() int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.id
}

// From follows the session that the guest's source has opened for one that a client brings: from
// now on it is that peer who asks what became of it. It fails as Finishing does.
func (g *Guest) From(peer string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.finishable(); err != nil {
		return err
	}
	g.source = peer
	return nil
}

// Watch calls lost if libvirt here ends, or virtproxyd loses the QEMU driver, before anybody has asked
// for the guest. Nobody can ask for it then: libvirt ends what it finds of it when it is started
// again, and what still comes of its memory is in vain. Watch returns when the guest's life is over.
func (g *Guest) Watch(ctx context.Context, lost func()) {
	if g.mayPostcopy() {
		return // it may be here already, and goes on
	}
	begin, cancel := context.WithTimeout(ctx, g.arrivals.Config.Limits.GiveUpTimeout)
	defer cancel()
	v, err := g.arrivals.Libvirt.Connect(begin)
	if err != nil {
		return // Finish finds out
	}
	defer v.Close()
	v.WatchDriver(begin) // where it is refused, the end of libvirt's connection still tells
	select {
	case <-v.Gone():
		if g.CallingOff() == nil {
			lost()
		}
	case <-g.done:
	case <-ctx.Done():
	}
}

// Finishing comes before libvirt is asked to take the guest over. It fails once somebody has asked
// for it, and where its life is over: then the name may be another guest's. From now on its source
// must not resume it without having asked.
func (g *Guest) Finishing() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.finishable(); err != nil {
		return err
	}
	if g.calledOff {
		return fmt.Errorf("guest %s has been given up on %s", g.Name, g.arrivals.Config.Name)
	}
	if err := g.arrivals.records.set(g.record(Undecided)); err != nil {
		return err
	}
	g.asked = true
	return nil
}

// CallingOff comes before libvirt is asked to end the guest that it has prepared, which it knows by
// name alone. It fails as Finishing does. Until End nobody else brings a guest of this name.
func (g *Guest) CallingOff() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.finishable(); err != nil {
		return err
	}
	g.calledOff = true
	return nil
}

// CalledOff says whether libvirt has been asked to end the guest before anybody asked it to take the
// guest over.
func (g *Guest) CalledOff() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calledOff
}

// finishable says whether there may be a Finish, with mu held.
func (g *Guest) finishable() error {
	switch {
	case g.over:
		return fmt.Errorf("guest %s, as it was prepared, is no longer on %s", g.Name, g.arrivals.Config.Name)
	case g.asked:
		return fmt.Errorf("guest %s is being taken over already", g.Name)
	}
	return nil
}

// Finished follows libvirt's answer to Finish. An error is no answer by itself: libvirt may have
// started the guest before it failed, and what stands before its QEMU driver has errors of its own.
// So the guest is looked at. The words say why nobody can tell, where that is so.
func (g *Guest) Finished(ctx context.Context, failure error) (v Verdict, words string) {
	if failure == nil {
		return Ran, ""
	}
	state, err := g.arrivals.Libvirt.State(ctx, g.UUID)
	if err == nil && g.runs(ctx, state) {
		return Ran, ""
	}
	if words = Undetermined(errors.New(virt.Words("taking the guest over", failure)), failure, state, err); words != "" {
		return Undecided, words
	}
	return NeverRan, ""
}

// runs says whether the guest that was prepared has been taken over, by the state that it is in.
func (g *Guest) runs(ctx context.Context, state virt.State) bool {
	if !state.Running() && (g.flags&libvirt.MigratePaused == 0 || !state.Paused()) {
		return false
	}
	g.mu.Lock()
	id := g.id
	g.mu.Unlock()
	is, err := g.arrivals.Libvirt.ID(ctx, g.UUID)
	return err == nil && id != 0 && is == id
}

// End ends the guest's life as an arrival. What was never asked for never ran, but in post-copy,
// where its source alone decides.
func (g *Guest) End(v Verdict) {
	split := !g.Asked() && g.InPostcopy()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.asked {
		if v = NeverRan; split {
			v = Undecided
		}
	}
	g.end(v)
}

// end is End, with mu held and the verdict decided.
func (g *Guest) end(v Verdict) {
	if g.over {
		return
	}
	g.over = true
	g.verdict = v
	if g.id == 0 && !g.asked && g.flags&libvirt.MigrateOffline == 0 {
		// libvirt has prepared nothing, and nobody asks what became of it.
	} else if err := g.arrivals.records.set(g.record(v)); err != nil {
		g.arrivals.Log.Error().Err(err).Str("guest", g.Name).Msg("what became of the guest is not kept over a restart of sluice")
	}
	for _, name := range g.claims() {
		if err := g.arrivals.Dir.Unclaim(name); err != nil {
			g.arrivals.Log.Error().Err(err).Str("guest", g.Name).Msg("the guest's name is not free for another process")
		}
	}
	g.arrivals.guests.remove(g)
	close(g.done)
	if v == NeverRan {
		g.arrivals.Work.Go(g.sweep)
	}
}

// Done is closed when the guest's life as an arrival is over.
func (g *Guest) Done() <-chan struct{} { return g.done }

// Verdict is what became of the guest. It is Undecided before Done.
func (g *Guest) Verdict() Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.verdict
}

// Asked says whether libvirt has been asked to take the guest over.
func (g *Guest) Asked() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked
}

func (g *Guest) record(v Verdict) record {
	peer := g.By.Name
	if g.source != "" {
		peer = g.source
	}
	return record{Peer: peer, Session: g.By.Session, UUID: virt.FormatUUID(g.UUID), ID: g.id, Paused: g.flags&libvirt.MigratePaused != 0, Verdict: v}
}
