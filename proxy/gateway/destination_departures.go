package gateway

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// checkDeparture looks at a migration away from this host, which only callers with full
// access may begin.
func (g *destinationFilter) checkDeparture(t transfer.Transfer) libvirtrpc.Outcome {
	if t.InClear != "" && g.gateway.Config.Secure() {
		return g.insecure(t)
	}
	return libvirtrpc.Outcome{}
}

// begin looks at the first call of a migration away from this host.
func (g *destinationFilter) begin(c *libvirtrpc.Call) libvirtrpc.Outcome {
	if g.gateway.Sessions.Draining() {
		return refused(libvirtrpc.ErrOperationInvalid, session.ErrDraining).Outcome
	}
	call, err := libvirtrpc.DecodeBegin(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	t, err := transfer.Of(call.Flags, call.Params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	begun := g.begun.begun(call.Domain.UUID)
	if t.Aim != (transfer.Aim{}) && g.gateway.replacesURIs() { // Perform, which passes here too, is judged
		return libvirtrpc.Outcome{Reply: func(r *libvirtrpc.Reply) {
			begun(r)
			markBegun(r)
		}}
	}
	o := g.checkDeparture(t)
	if o.Err == nil {
		o.Reply = begun
	}
	return o
}

// perform looks at a guest's way from here to another host. The caller's own
// sluice may have named a session to it, by which it takes the guest to itself.
func (g *destinationFilter) perform(ctx context.Context, c *libvirtrpc.Call) libvirtrpc.Outcome {
	call, err := libvirtrpc.DecodePerform(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	id, named, err := call.Params.Text(paramSession)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	if named && g.peer != nil {
		return g.giveAway(ctx, call, g.peer, id)
	}
	params := call.Params.Without(paramSession)
	switch to, id, err := g.gateway.rendezvous(params); {
	case err != nil:
		return refused(libvirtrpc.ErrOperationInvalid, err).Outcome
	case to != nil && g.access == config.AccessFull:
		return g.giveAway(ctx, call, to, id)
	case g.gateway.isOurs(params): // disks go where memory does
		call.Params = params.Without(libvirtrpc.ParamDisksURI)
		return libvirtrpc.Outcome{Body: call.Encode()}
	}
	if err := g.gateway.CheckLeaving(ctx, call.Domain.UUID); err != nil {
		return refused(libvirtrpc.ErrOperationInvalid, err).Outcome
	}
	here := ""
	if libvirt.DomainMigrateFlags(call.Flags)&libvirt.MigratePeer2peer != 0 {
		here = g.gateway.leadsHere(call.Destination)
		switch {
		case g.gateway.Sessions.Draining():
			return refused(libvirtrpc.ErrOperationInvalid, session.ErrDraining).Outcome
		case here != "":
		case libvirt.DomainMigrateFlags(call.Flags)&libvirt.MigrateTunnelled != 0:
			if !encrypted(call.Destination) && g.gateway.Config.Secure() {
				return g.insecure(transfer.Transfer{InClear: "memory by libvirt's tunnel to a URI without TLS or ssh"})
			}
		case !params.Has(libvirtrpc.ParamURI):
			params = params.With(libvirtrpc.ParamURI, "tcp:") // as the destination will say
		}
	}
	t, err := transfer.Of(call.Flags, params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	if here != "" && g.gateway.replaceBySocket(here, call, t) {
		return libvirtrpc.Outcome{Body: call.Encode()}
	}
	return g.checkDeparture(t)
}

// giveAway carries a guest to another host through a session.
func (g *destinationFilter) giveAway(ctx context.Context, call *libvirtrpc.Perform, to *peer.Peer, id string) libvirtrpc.Outcome {
	params := call.Params.Without(paramSession, libvirtrpc.ParamURI, libvirtrpc.ParamDisksURI)
	t, err := transfer.Of(call.Flags, params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	guest := guest{name: call.Domain.Name, id: call.Domain.UUID, uuid: virt.FormatUUID(call.Domain.UUID)}
	m, err := g.gateway.steer(ctx, to, steering{guest: guest, transfer: t, id: id, told: true, asked: g.asked})
	if err != nil {
		return refused(libvirtrpc.ErrOperationInvalid, err).Outcome
	}
	g.mu.Lock()
	old := g.going[guest.uuid]
	g.going[guest.uuid] = m
	g.mu.Unlock()
	if old != nil { // it is over, or there would be no other
		old.lost(nil)
	}
	m.entry.SetPhase(control.PhaseMemory)
	call.Params = params.With(libvirtrpc.ParamURI, m.listeners.uri)
	if m.listeners.disksURI != "" {
		call.Params = call.Params.With(libvirtrpc.ParamDisksURI, m.listeners.disksURI)
	}
	return libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		if r.Err == nil && !m.split() { // the destination may be asked from now on
			known, err := m.undecided()
			if err == nil {
				if _, err = m.depart(ctx, call.Flags, nil, nil); err != nil {
					known()
				}
			}
			if err != nil {
				r.Err = libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice: %v", err)
			}
		}
		if r.Err != nil {
			m.givenUp(stream.CodeLibvirt, virt.Words("sending the guest", r.Err))
		}
	}}
}

// confirm ends the session of a guest that was given: only now has all of its memory gone, in
// post-copy. The client has asked for Finish elsewhere. That it has a good answer is its word; that
// it has none does not tell that the guest may go on here.
func (g *destinationFilter) confirm(ctx context.Context, c *libvirtrpc.Call) libvirtrpc.Outcome {
	call, err := libvirtrpc.DecodeConfirm(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	uuid := virt.FormatUUID(call.Domain.UUID)
	g.mu.Lock()
	m := g.going[uuid] // until the answer: libvirt may never give one
	g.mu.Unlock()
	if m != nil {
		if d, known := m.leaving(); d != nil {
			return g.confirmDeparture(ctx, m, d, known, call)
		}
	}
	return libvirtrpc.Outcome{Reply: func(r *libvirtrpc.Reply) {
		g.begun.confirmed(call.Domain.UUID)
		g.gone(uuid, m)
		switch {
		case m == nil:
		case call.Cancelled != 0:
			m.givenUp(stream.CodeCancelled, "the libvirt client gave the migration up")
		case r.Err != nil:
			m.fail(stream.CodeLibvirt, virt.Words("letting go of the guest", r.Err))
		default:
			m.done()
		}
	}}
}

// confirmDeparture is confirm for a guest behind the fence. Libvirt resumes it only if the
// destination says that it is not there.
func (g *destinationFilter) confirmDeparture(ctx context.Context, m *steeredSource, d *departure.Departure, known func(), call *libvirtrpc.Confirm) libvirtrpc.Outcome {
	uuid := virt.FormatUUID(call.Domain.UUID)
	if call.Cancelled == 0 {
		d.Answered(departure.Runs)
		m.done()
	} else {
		m.givenUp(stream.CodeCancelled, "the libvirt client gave the migration up")
		switch d.AwaitInTime(ctx) {
		case departure.Runs:
			call.Cancelled = 0
			m.done()
		case departure.Unknown:
			g.begun.confirmed(call.Domain.UUID)
			g.gone(uuid, m)
			m.unsettled()
			m.lost(nil)
			return outcomeErr(libvirtrpc.ErrOperationInvalid, "sluice: nobody can tell whether guest %s runs on %s; on %s it is paused, so that it does not run twice: `sluice status` there says what to do", m.guest.name, m.session.Peer, g.gateway.Config.Name)
		}
	}
	return libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		g.begun.confirmed(call.Domain.UUID)
		g.gone(uuid, m)
		known()
		d.CallerGone() // libvirt has done its part, or can't
	}}
}

// gone takes a guest out of those that the caller takes, unless it takes it anew.
func (g *destinationFilter) gone(uuid string, m *steeredSource) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.going[uuid] == m {
		delete(g.going, uuid)
	}
}

// leadsHere is the peer whose socket here a libvirt URI is, by name; empty for others.
func (gw *Gateway) leadsHere(uri *string) (peer string) {
	if uri == nil {
		return ""
	}
	u, err := url.Parse(*uri)
	if err != nil {
		return ""
	}
	var sockets []string
	for name, values := range u.Query() {
		if strings.EqualFold(name, "socket") { // libvirt takes the last, however it is spelt
			sockets = append(sockets, values...)
		}
	}
	if len(sockets) != 1 || !strings.HasSuffix(u.Scheme, "+unix") {
		return ""
	}
	name := filepath.Base(filepath.Dir(sockets[0]))
	switch {
	case sockets[0] != filepath.Join(gw.Config.RunDir, rundir.PeersDir, name, rundir.LibvirtSocket):
		return ""
	case gw.Peers.All[name] != nil:
		return name
	}
	return gw.Peers.NameOf(name)
}

// encrypted says whether a connection by a libvirt URI is, by its transport:
// TLS where it names none (libvirt's docs/uri.rst).
func encrypted(uri *string) bool {
	if uri == nil {
		return false
	}
	u, err := url.Parse(*uri)
	if err != nil {
		return false
	}
	_, transport, named := strings.Cut(u.Scheme, "+")
	switch transport {
	case "tls", "ssh", "libssh", "libssh2":
		return true
	}
	return !named && u.Host != ""
}
