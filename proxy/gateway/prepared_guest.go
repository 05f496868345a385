package gateway

import (
	"sync"
	"sync/atomic"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/stream"
)

// preparedGuest is a guest that a caller has prepared over one connection. Its life is package
// arrival's; here is what a Prepare has opened for it.
type preparedGuest struct {
	guest    guest
	transfer transfer.Transfer
	life     *arrival.Guest
	session  *arrival.Steered      // where its data comes by a session; nil otherwise
	pull     *arrival.Pull         // where it comes by a session that its source opens when asked
	lead     *lead                 // by which the source's sluice brings its data; nil otherwise
	ownTLS   bool                  // libvirt here was not told of QEMU's TLS, which ends in sluice
	entry    *session.Entry        // the migration's place, where it has no session
	end      func(arrival.Verdict) // ends what is not a session's; may be nil

	prepared atomic.Bool                  // libvirt has prepared it for this caller: only now is it the caller's
	asked    atomic.Pointer[stream.Cause] // why it was cancelled; nil: it was not
	finished atomic.Bool                  // a Finish has been asked for, of which there is one
	ending   sync.Once
}

// unled ends a lead for which no guest is prepared.
func (a *preparedGuest) unled(why error) {
	if a.lead != nil {
		a.lead.session.Fail(session.CauseOf(why))
	}
}

func (a *preparedGuest) setPhase(phase string) {
	switch {
	case a.session != nil:
		a.session.Phase(phase)
	case a.pull != nil:
		a.pull.Phase(phase)
	case a.entry != nil:
		a.entry.SetPhase(phase)
	}
}

// over ends the guest's life as an arrival, and what was opened for it.
func (a *preparedGuest) over(v arrival.Verdict) {
	a.ending.Do(func() {
		a.life.End(v)
		if a.end != nil {
			a.end(a.life.Verdict())
		}
	})
}

// enter makes a place for a migration whose data does not come through a session.
func (g *destinationFilter) enter(a *preparedGuest, id string) (err error) {
	info := stream.Info{ID: id, Work: session.WorkSteered, Guest: a.guest.name, UUID: a.guest.uuid, Peer: g.name, Address: g.address}
	if a.entry, err = g.gateway.Sessions.Add(info, control.Incoming); err != nil {
		return err
	}
	a.entry.SecuredBy(a.transfer.Protection())
	a.entry.AskedBy(g.asked, transfer.Flags(a.transfer.Flags))
	a.entry.SetPhase(control.PhasePrepare)
	g.cancellable(a)
	log := session.Log(g.gateway.Log, info, control.Incoming)
	a.end = func(v arrival.Verdict) {
		g.gateway.Sessions.EndMigration(a.entry, log, v == arrival.Ran, g.causeOf(v, a.asked.Load()))
	}
	return nil
}

// causeOf is the cause of a migration that a libvirt client has run, when nothing else is known.
func (g *destinationFilter) causeOf(v arrival.Verdict, known *stream.Cause) *stream.Cause {
	switch {
	case v == arrival.Ran:
		return &stream.Cause{Code: stream.CodeDone}
	case known != nil:
		return known
	}
	return &stream.Cause{Code: stream.CodeCancelled, Host: g.gateway.Config.Name, Text: "the libvirt client gave the guest up, or went away"}
}

func (g *destinationFilter) find(name string) *preparedGuest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.coming[name]
}

// expect enters a guest for which a Prepare is about to go to libvirt. One of its name whose life
// is over makes room.
func (g *destinationFilter) expect(a *preparedGuest) {
	g.mu.Lock()
	old := g.coming[a.guest.name]
	g.coming[a.guest.name] = a
	g.mu.Unlock()
	if old != nil {
		old.over(arrival.NeverRan)
	}
}

func (g *destinationFilter) forget(a *preparedGuest, v arrival.Verdict) {
	g.mu.Lock()
	if g.coming[a.guest.name] == a {
		delete(g.coming, a.guest.name)
	}
	g.mu.Unlock()
	a.over(v)
}
