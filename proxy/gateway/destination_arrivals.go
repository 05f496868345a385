package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/stream"
)

// prepare checks a Prepare and, for a session's data, gives libvirt the paths
// of this host's choice.
func (g *destinationFilter) prepare(c *libvirtrpc.Call, decode func([]byte) (*libvirtrpc.Prepare, error)) outcome {
	call, err := decode(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	id, steered, err := call.Params.Text(paramSession)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	call.Params = call.Params.Without(paramSession)
	tunnel := c.Procedure == libvirtrpc.ProcMigratePrepareTunnel3Params
	if tunnelled := libvirt.DomainMigrateFlags(call.Flags)&libvirt.MigrateTunnelled != 0; tunnelled != tunnel {
		return outcome{g.denied(c, "the flag VIR_MIGRATE_TUNNELLED and the call %s do not go together", c.Procedure)}
	}
	t, err := transfer.Of(call.Flags, call.Params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	guest, err := guestOf(call.Params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	if g.withoutSluice != nil && !steered {
		return g.prepareWithoutSluice(c, call, t, guest)
	}
	meets := t.Steered && !steered && t.Flags&libvirt.MigratePeer2peer == 0 && g.gateway.Config.Secure()
	if t.Steered && !steered && !meets { // libvirt would open a port to all
		t.Steered, t.By, t.InClear = false, session.ByNothing, "memory by tcp:"
	}
	covered := t.InClear != "" && g.gateway.coveredByInterception(call.Params)
	if covered {
		t.By, t.InClear = session.ByInterception, ""
	}
	switch {
	case t.InClear != "" && g.gateway.Config.Secure():
		return outcome{g.insecure(t.InClear)}
	case g.access != config.AccessFull && usesPath(call.Params): // whoever encrypts what goes there
		return outcome{g.denied(c, "unix sockets of migrations are made where %s chooses: leave out --migrateuri and --disks-uri", g.gateway.Config.Name)}
	}
	a := &preparedGuest{guest: guest, transfer: t}
	meeting := ""
	if steered {
		if g.peer == nil {
			return outcome{g.denied(c, "sessions are for peers")}
		}
		if a.session, err = g.gateway.arrivals.Steered.Claim(id, g.peer.Name); err != nil {
			return outcome{g.denied(c, "%v", err)}
		}
		if a.session.Info.UUID != guest.uuid {
			return outcome{g.denied(c, "session %s is for guest %s", id, a.session.Info.UUID)}
		}
		if t.Steered {
			call.Params = ownParams(call.Params, a.session.Dir, t)
		}
		a.session.Preparing(t, g.cut)
	} else if meets {
		if g.gateway.Sessions.Draining() {
			return refused(libvirtrpc.ErrOperationInvalid, session.ErrDraining)
		}
		if call.Params, meeting, err = g.offerRendezvous(a, call.Params, t); err != nil {
			return refused(libvirtrpc.ErrOperationInvalid, err)
		}
	} else if err := g.enter(a, t); err != nil {
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	if !g.expect(a) {
		a.release(arrival.NeverRan)
		return refused(libvirtrpc.ErrOperationInvalid, fmt.Errorf("guest %s is being migrated already over this connection", guest.name))
	}
	return outcome{libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		if covered && r.Err == nil {
			r.Err = g.gateway.checkPorts(r, call.Params, t.Disks())
		}
		if meets && r.Err == nil {
			r.Err = pointToRendezvous(r, meeting)
		}
		if r.Err != nil {
			g.forget(guest.name, arrival.NeverRan)
		} else {
			a.prepared.Store(true)
			a.setPhase(control.PhaseMemory)
			g.log.Info().Str("guest", guest.name).Msg("guest prepared")
		}
	}}}
}

// enter makes a place for a migration whose data does not come through a
// session.
func (g *destinationFilter) enter(a *preparedGuest, t transfer.Transfer) (err error) {
	info := stream.Info{ID: stream.NewID(), Work: session.WorkSteered, Guest: a.guest.name, UUID: a.guest.uuid, Peer: g.name, Address: g.address}
	if a.entry, err = g.gateway.Sessions.Add(info, control.Incoming); err != nil {
		return err
	}
	a.entry.SecuredBy(t.Protection())
	a.entry.SetPhase(control.PhasePrepare)
	log := session.Log(g.gateway.Log, info, control.Incoming)
	a.leave = func(what arrival.Verdict) {
		cause := &stream.Cause{Code: stream.CodeDone}
		if what != arrival.Ran {
			cause = &stream.Cause{Code: stream.CodeCancelled, Host: g.gateway.Config.Name, Text: "the libvirt client gave the guest up, or went away"}
		}
		g.gateway.Sessions.EndMigration(a.entry, log, what == arrival.Ran, cause)
	}
	return nil
}

// ownParams are a Prepare's parameters with this host's paths in them.
func ownParams(params libvirtrpc.Params, dir rundir.SessionDir, t transfer.Transfer) libvirtrpc.Params {
	params = params.Without(libvirtrpc.ParamListen, libvirtrpc.ParamDisksPort).
		With(libvirtrpc.ParamURI, arrival.At(dir).Memory)
	if t.Disks() {
		params = params.With(libvirtrpc.ParamDisksURI, arrival.At(dir).Disks)
	}
	return params
}

// usesPath says whether libvirt would make a socket at a path of the caller's.
func usesPath(params libvirtrpc.Params) bool {
	for _, field := range []string{libvirtrpc.ParamURI, libvirtrpc.ParamDisksURI} {
		if uri, _, _ := params.Text(field); strings.HasPrefix(strings.ToLower(uri), "unix:") {
			return true
		}
	}
	return false
}

// finish lets callers finish guests that they have prepared.
func (g *destinationFilter) finish(ctx context.Context, c *libvirtrpc.Call, decode func([]byte) (*libvirtrpc.Finish, error)) outcome {
	call, err := decode(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	name, _, err := call.Params.Text(libvirtrpc.ParamDestName)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	a := g.find(name)
	if (a == nil || !a.prepared.Load()) && g.access != config.AccessFull {
		return outcome{g.denied(c, "guest %.80q was not prepared over this connection", name)}
	}
	if a != nil && a.finished.Swap(true) {
		return outcome{g.denied(c, "guest %.80q is being finished already", name)}
	}
	if a != nil && a.transfer.Flags&libvirt.MigratePostcopyResume != 0 && call.Cancelled == 0 {
		g.gateway.AwaitResumed(ctx, a.guest.id)
	}
	if a != nil && a.native != nil {
		call.Flags &^= uint32(libvirt.MigrateTLS)
	}
	if a != nil && call.Cancelled == 0 {
		a.setPhase(control.PhaseFinish)
		if a.session != nil {
			a.session.Finishing()
		}
	}
	return outcome{libvirtrpc.Outcome{Body: call.Encode(), Await: g.gateway.awaitFinish(a), Reply: func(r *libvirtrpc.Reply) {
		if r.Err != nil || call.Cancelled != 0 {
			g.forget(name, arrival.NeverRan)
			return
		}
		g.forget(name, arrival.Ran)
		g.log.Info().Str("guest", name).Msg("guest runs here")
	}}}
}

// awaitFinish says for how long libvirt is left to answer a Finish whose caller
// is gone: without the answer no one can tell whether the guest runs. A guest
// in post-copy is libvirt's to keep.
func (gw *Gateway) awaitFinish(a *preparedGuest) func() time.Duration {
	if a == nil {
		return nil
	}
	return func() time.Duration {
		if a.transfer.Postcopy() && gw.Libvirt.InPostcopy(a.guest.id) {
			return 0
		}
		return gw.Config.Limits.FinishTimeout
	}
}

func (g *destinationFilter) find(name string) *preparedGuest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.coming[name]
}

func (g *destinationFilter) expect(a *preparedGuest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.coming[a.guest.name] != nil {
		return false
	}
	g.coming[a.guest.name] = a
	return true
}

func (g *destinationFilter) forget(name string, what arrival.Verdict) {
	g.mu.Lock()
	a := g.coming[name]
	delete(g.coming, name)
	g.mu.Unlock()
	if a != nil {
		a.release(what)
	}
}
