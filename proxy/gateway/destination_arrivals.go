package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// prepare checks a Prepare, begins the guest's life here, and opens where its data comes in.
func (g *destinationFilter) prepare(ctx context.Context, c *libvirtrpc.Call, decode func([]byte) (*libvirtrpc.Prepare, error)) outcome {
	call, err := decode(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	id, named, err := call.Params.Text(paramSession)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	if err := g.aimedHere(call.Params); err != nil {
		return outcome{g.denied(c, "%v", err)}
	}
	call.Params = call.Params.Without(paramSession, paramAim)
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
	if g.access == config.AccessReadOnly {
		return outcome{g.denied(c, "guests are not for callers that may only read")}
	}
	if err := g.accept(ctx, call); err != nil {
		return outcome{g.denied(c, "%v", err)}
	}
	told(call, &t)
	if g.gateway.Sessions.Draining() && !named {
		return refused(libvirtrpc.ErrOperationInvalid, session.ErrDraining)
	}
	a := &preparedGuest{guest: guest}
	if g.tlsPeer != nil && t.By != "" {
		if a.lead, err = g.leadFrom(ctx, guest); err != nil {
			return outcome{g.denied(c, "%v", err)}
		}
	}
	w, refusal := g.wayOf(c, call.Params, &t, named, a.lead != nil)
	a.transfer = t
	if a.lead != nil && w != byLead {
		a.lead.session.Finish()
		a.lead = nil
	}
	if refusal != nil {
		return outcome{*refusal}
	}
	description, _, _ := call.Params.Text(libvirtrpc.ParamDestXML) // which guestOf has read
	if err := g.gateway.Libvirt.CheckFaults(ctx, t.Flags, description); err != nil {
		a.unled(err)
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	if t.Steered {
		if err := g.gateway.CheckChannels(t.Channels); err != nil {
			a.unled(err)
			return refused(libvirtrpc.ErrOperationInvalid, err)
		}
	}
	if !named {
		id = stream.NewID()
	} else if a.session, err = g.claim(id, guest); err != nil { // before a life is known by that ID
		return outcome{g.denied(c, "%v", err)}
	}
	if a.life, err = g.gateway.arrivals.Claim(ctx, arrival.Bringer{Name: g.bringerName(), Session: id}, guest.id, guest.name, t.Flags); err != nil {
		a.unled(err)
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	point, err := g.open(ctx, w, a, call, id)
	if err != nil {
		a.unled(err)
		a.over(arrival.NeverRan)
		g.log.Warn().Str("caller", g.who).Err(err).Msg("migration refused")
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	g.expect(a)
	return outcome{libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) { g.prepared(a, r, point) }}}
}

// claim finds the session that a Prepare names, which must be the caller's and for its guest.
func (g *destinationFilter) claim(id string, of guest) (*arrival.Steered, error) {
	s, err := g.gateway.arrivals.Steered.Claim(id, g.peer.Name)
	if err == nil && s.Info.UUID != of.uuid {
		err = fmt.Errorf("session %s is for guest %s", id, s.Info.UUID)
	}
	return s, err
}

// open opens where a guest's data comes in, and puts it into the call. point, if not nil, puts into
// the reply where the source is to send it, and refuses a reply that leads elsewhere.
func (g *destinationFilter) open(ctx context.Context, w way, a *preparedGuest, call *libvirtrpc.Prepare, id string) (point func(*libvirtrpc.Reply) error, err error) {
	switch w {
	case bySession:
		if a.transfer.Steered {
			call.Params = ownParams(call.Params, a.session.Dir, a.transfer)
		}
		a.session.Preparing(a.life, a.transfer, g.cut)
		return g.closedPorts(a, call.Params), nil
	case byLead:
		return g.offerLead(ctx, a, call, id)
	case byRendezvous:
		return g.offerRendezvous(a, call, id)
	case byQEMUTLS:
		return g.endTLS(a, call, id)
	}
	if err = g.enter(a, id); err != nil {
		return nil, err
	}
	if g.tlsPeer != nil && !g.listed && a.transfer.By == session.ByNothing {
		g.gateway.Sessions.InClear.Count(control.Incoming)
		g.log.Warn().Str("guest", a.guest.name).Msgf("%s has no sluice: the guest's memory and disks come in clear (peers.%s.without_sluice = %q)",
			g.tlsPeer.Name, g.tlsPeer.Conf.Table(), config.WithoutPlain)
		if err := g.hereByAddress(call); err != nil {
			return nil, err
		}
	}
	return g.closedPorts(a, call.Params), nil
}

// hereByAddress has libvirt here name the address to which the caller has connected, where it would
// name this host: at the source, a name service could lead the guest's memory elsewhere.
func (g *destinationFilter) hereByAddress(call *libvirtrpc.Prepare) error {
	if uri, _, err := call.Params.Text(libvirtrpc.ParamURI); err != nil || uri != "" {
		return err
	}
	host, _, err := net.SplitHostPort(g.local)
	if err != nil {
		return err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	call.Params = call.Params.With(libvirtrpc.ParamURI, "tcp://"+host)
	return nil
}

// closedPorts is open's point for data that comes by interception, and nil for other data.
func (g *destinationFilter) closedPorts(a *preparedGuest, params libvirtrpc.Params) func(*libvirtrpc.Reply) error {
	if a.transfer.By != session.ByInterception {
		return nil
	}
	end := a.end
	a.end = func(v arrival.Verdict) {
		g.gateway.Ports.Forget(a.guest.id)
		if end != nil {
			end(v)
		}
	}
	return func(r *libvirtrpc.Reply) error {
		ports, refusal := g.gateway.checkPorts(r, params, a.transfer.Disks())
		if refusal != nil {
			return refusal
		}
		for _, port := range ports {
			g.gateway.Ports.Await(port, a.guest.id, g.bringer())
		}
		return nil
	}
}

// prepared follows libvirt's reply to a Prepare.
func (g *destinationFilter) prepared(a *preparedGuest, r *libvirtrpc.Reply, point func(*libvirtrpc.Reply) error) {
	// QEMU waits for a guest that is not here yet.
	waits := r.Err == nil && a.transfer.Flags&libvirt.MigratePostcopyResume == 0
	if r.Err == nil && point != nil {
		if err := point(r); err != nil && !errors.As(err, &r.Err) {
			r.Err = libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
		}
	}
	if r.Err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), g.gateway.Config.Limits.GiveUpTimeout)
		defer cancel()
		if err := a.life.Prepared(ctx); err != nil {
			r.Err = libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice on %s: %v", g.gateway.Config.Name, err)
		}
	}
	if r.Err != nil && waits { // though the caller is told otherwise
		g.giveUp(a)
		return
	}
	if r.Err != nil {
		g.forget(a, arrival.NeverRan)
		return
	}
	a.prepared.Store(true)
	a.setPhase(control.PhaseMemory)
	if waits && a.transfer.Flags&libvirt.MigrateOffline == 0 {
		g.gateway.Work.Go(func() { a.life.Watch(context.Background(), func() { g.lost(a) }) })
	}
	g.log.Info().Str("guest", a.guest.name).Msg("guest prepared")
}

// lost ends a migration whose guest libvirt here no longer knows of: by its session, or else by the
// connection of its caller, which would send memory to the end.
func (g *destinationFilter) lost(a *preparedGuest) {
	if a.session != nil {
		a.session.Lost(virt.ErrGone)
	} else {
		a.asked.Store(&stream.Cause{Code: stream.CodeLibvirt, Host: g.gateway.Config.Name, Text: virt.ErrGone.Error()})
		g.cut(virt.ErrGone)
	}
}

// giveUp has libvirt here end the QEMU of a guest that is refused after it was prepared.
func (g *destinationFilter) giveUp(a *preparedGuest) {
	g.gateway.Work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), g.gateway.Config.Limits.GiveUpTimeout)
		defer cancel()
		if err := a.life.GiveUp(ctx); err != nil {
			g.log.Warn().Str("guest", a.guest.name).Err(err).Msg("libvirt keeps the QEMU of a refused guest until the caller's connection ends")
		}
		g.forget(a, arrival.NeverRan)
	})
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
