package gateway

import (
	"context"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// bringer is whose guests come by the caller, for [accept]: empty for one that is no peer.
func (g *destinationFilter) bringer() string {
	switch {
	case g.peer != nil:
		return g.peer.Name
	case g.tlsPeer != nil:
		return g.tlsPeer.Name
	}
	return ""
}

// bringerName is under whose name a guest that comes by the caller is recorded: a peer that asks
// what became of it is known by its own.
func (g *destinationFilter) bringerName() string {
	if b := g.bringer(); b != "" {
		return b
	}
	return g.name
}

// accept judges the descriptions that come with a Prepare.
func (g *destinationFilter) accept(ctx context.Context, call *libvirtrpc.Prepare) error {
	var all []string
	for _, field := range []string{libvirtrpc.ParamDestXML, libvirtrpc.ParamPersistXML} {
		switch text, is, err := call.Params.Text(field); {
		case err != nil:
			return err
		case is:
			all = append(all, text)
		}
	}
	return g.gateway.AcceptGuest(ctx, g.bringer(), call.Cookie, all...)
}

// aboutCPUs judges the arguments of a question about what this host could run.
func (g *destinationFilter) aboutCPUs(ctx context.Context, c *libvirtrpc.Call) libvirtrpc.Outcome {
	q, err := libvirtrpc.DecodeCPUs(c.Procedure, c.Body)
	if err == nil {
		err = domainxml.Bounded(q.XML...)
	}
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	if q.Emulator != "" && !g.gateway.Policy(ctx, g.bringer()).Emulator(q.Emulator) {
		return g.denied(c, "libvirtd would run %.120q: accept.emulators on %s has the programs that it may", q.Emulator, g.gateway.Config.Name)
	}
	return libvirtrpc.Outcome{}
}

// acceptBegun judges a guest that a client here takes from the peer. What the peer's libvirt says
// of it here goes from the client to a libvirt past every filter.
func (g *sourceFilter) acceptBegun(ctx context.Context, r *libvirtrpc.Reply) {
	if r.Err != nil {
		return
	}
	begun, err := libvirtrpc.DecodeBegun(r.Body)
	if err == nil {
		err = g.gateway.AcceptGuest(ctx, g.peer.Name, begun.Cookie, begun.Description)
	}
	if err != nil {
		g.log.Warn().Str("peer", g.peer.Name).Err(err).Msg("a guest of the peer's was not taken")
		r.Err = libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice on %s: %v", g.gateway.Config.Name, err)
	}
}

// acceptPerformed judges the last cookie of such a guest, which the client passes on to Finish.
func (g *sourceFilter) acceptPerformed(r *libvirtrpc.Reply) {
	if r.Err != nil {
		return
	}
	cookie, err := libvirtrpc.DecodePerformed(r.Body)
	if err != nil {
		r.Err = libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice on %s: %v", g.gateway.Config.Name, err)
		return
	}
	r.Body = libvirtrpc.EncodePerformed(g.gateway.FinishCookie(g.peer.Name, cookie, g.log))
}
