package arrival

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
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
			return g, nil
		}
		if !other.endLost(ctx) {
			return nil, fmt.Errorf("guest %s (%s) is on its way to %s already: %s brings it", other.Name, virt.FormatUUID(other.UUID), a.Config.Name, other.By.Name)
		}
	}
}

// claim excludes other processes of this host's sluice, which have guests of their own.
func (g *Guest) claim() error {
	for i, name := range g.claims() {
		is, err := g.arrivals.Dir.Claim(name)
		if err == nil && !is {
			err = fmt.Errorf("guest %s (%s) is on its way to %s already: it came before its sluice was replaced", g.Name, virt.FormatUUID(g.UUID), g.arrivals.Config.Name)
		}
		if err != nil {
			for _, name := range g.claims()[:i] {
				g.arrivals.Dir.Unclaim(name)
			}
			g.arrivals.guests.remove(g)
			return err
		}
	}
	return nil
}

func (g *Guest) claims() []string {
	return []string{"arrival of " + virt.FormatUUID(g.UUID), "arrival as " + g.Name}
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

// GiveUp has libvirt end the QEMU that it has prepared, whose Prepare its caller will take for
// failed.
func (g *Guest) GiveUp(ctx context.Context) error {
	v, err := g.arrivals.Libvirt.Connect(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	steps := Steps{Virt: v, UUID: g.UUID, Flags: g.flags &^ SourceOnlyFlags, Params: []libvirt.TypedParam{ParamString(libvirt.MigrateParamDestName, g.Name)}}
	_, err = steps.Finish(ctx, &FinishCall{Cancelled: true})
	return err
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

// sweep ends the QEMU of a guest that nobody has asked for and that never ran, if libvirt does not.
// QEMU 7.2 hangs for ever, its monitor too, when some of the connections of --parallel break while
// it waits for all of them (multifd_recv_sync_main waits for threads that have ended). libvirtd then
// waits for the monitor's answer before it ends QEMU.
func (g *Guest) sweep() {
	g.mu.Lock()
	none := g.asked || g.pid == 0 || g.mayPostcopy()
	g.calledOff = g.calledOff || !none // nobody can ask for it any more
	g.mu.Unlock()
	if none {
		return
	}
	p, err := virt.ReopenQEMU(g.pid, g.started, g.UUID, g.arrivals.QEMUUID)
	if err != nil {
		return // it has ended
	}
	defer p.Close()
	for deadline := time.Now().Add(g.arrivals.Config.Limits.GiveUpTimeout); time.Now().Before(deadline); {
		if p.Ended(time.Until(deadline)) { // earlier, if a signal comes
			return
		}
	}
	log := g.arrivals.Log.With().Str("guest", g.Name).Int("pid", p.PID).Logger()
	if err := p.Kill(); err != nil {
		log.Error().Err(err).Msg("QEMU of a guest that never ran here hangs, and can't be ended: end it (kill -9), or libvirt waits for it")
		return
	}
	log.Warn().Msg("QEMU of a guest that never ran here did not end, and was killed")
}

// GivenUp waits until libvirt here has the guest as its own, or not at all, once the session of its
// data is over, and sees to it that it comes to that: its client gives it up when its data no
// longer flows; if it does not, cut ends its connection, and libvirtd destroys the guest with it.
// Once libvirt has been asked to take the guest over, it is libvirt's to decide, and its answer
// must come through. In post-copy the guest may run here, and stays.
func (g *Guest) GivenUp(cut func(error), cause *stream.Cause) Verdict {
	patience := time.NewTimer(g.arrivals.Config.Limits.GiveUpTimeout)
	defer patience.Stop()
	select {
	case <-g.done:
		return g.Verdict()
	default:
	}
	if g.InPostcopy() {
		return Undecided
	}
	select {
	case <-g.done:
		return g.Verdict()
	case <-patience.C:
	}
	if g.InPostcopy() {
		return Undecided
	}
	if !g.Asked() {
		cut(fmt.Errorf("the migration of guest %s failed (%w), and its source does not give it up", g.Name, cause))
		g.arrivals.Work.Go(g.sweep)
	}
	<-g.done
	return g.Verdict()
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

// InPostcopy says whether a part of the guest is still at its source, by libvirt's word.
func (g *Guest) InPostcopy() bool {
	return g.mayPostcopy() && g.arrivals.Libvirt.InPostcopy(g.UUID)
}

// Bounded is ctx for at most limit, which cause then says, and for as long again as libvirt says
// that the guest is in post-copy: Finish lasts until it is whole then. libvirt at a destination
// says so only in the middle of Finish (qemuMigrationDstFinishActive), so it is asked when limit
// has passed.
func (g *Guest) Bounded(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	return bounded(ctx, limit, g.InPostcopy, cause)
}

func bounded(ctx context.Context, limit time.Duration, longer func() bool, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		again := time.NewTicker(limit)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-again.C:
				if !longer() {
					cancel(cause)
					return
				}
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// AwaitPostcopy calls switched once libvirt says that the guest is in post-copy, where cutting its
// data off does more harm than any excess. A peer's word for it is none. It returns when ctx ends.
func (g *Guest) AwaitPostcopy(ctx context.Context, switched func()) {
	if g.mayPostcopy() {
		g.arrivals.AwaitPostcopy(ctx, g.UUID, switched)
	}
}

func (g *Guest) mayPostcopy() bool {
	return g.flags&(libvirt.MigratePostcopy|libvirt.MigratePostcopyResume) != 0
}

func (g *Guest) record(v Verdict) record {
	peer := g.By.Name
	if g.source != "" {
		peer = g.source
	}
	return record{Peer: peer, Session: g.By.Session, UUID: virt.FormatUUID(g.UUID), ID: g.id, Paused: g.flags&libvirt.MigratePaused != 0, Verdict: v}
}

// guests are those that are on their way here, each under its UUID and its name.
type guests struct {
	mu  sync.Mutex
	all []*Guest
}

// add enters g unless another has its UUID or name, which it returns.
func (gs *guests) add(g *Guest) (other *Guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, o := range gs.all {
		if o.UUID == g.UUID || o.Name == g.Name {
			return o
		}
	}
	gs.all = append(gs.all, g)
	return nil
}

func (gs *guests) remove(g *Guest) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for i, o := range gs.all {
		if o == g {
			gs.all = append(gs.all[:i], gs.all[i+1:]...)
			return
		}
	}
}

// Named is the guest on its way here that has a name, or nil.
func (a *Arrivals) Named(name string) *Guest {
	a.guests.mu.Lock()
	defer a.guests.mu.Unlock()
	for _, g := range a.guests.all {
		if g.Name == name {
			return g
		}
	}
	return nil
}
