package gateway

import (
	"context"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// finish lets callers finish the guests that they have prepared, and no others: those are known by
// their lives here, whatever name a Finish says.
func (g *destinationFilter) finish(ctx context.Context, c *libvirtrpc.Call, decode func([]byte) (*libvirtrpc.Finish, error)) outcome {
	call, err := decode(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	name, _, err := call.Params.Text(libvirtrpc.ParamDestName)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	call.Cookie = g.gateway.FinishCookie(g.bringer(), call.Cookie, g.log)
	a := g.find(name)
	switch {
	case a == nil && (g.access != config.AccessFull || g.gateway.arrivals.Named(name) != nil):
		return outcome{g.denied(c, "guest %.80q was not prepared over this connection", name)}
	case a == nil:
		return outcome{libvirtrpc.Outcome{Body: call.Encode()}}
	case !a.prepared.Load(): // libvirt's answer to Prepare may still say that it is another's
		return outcome{g.denied(c, "guest %.80q was not prepared over this connection yet", name)}
	case a.finished.Swap(true):
		return outcome{g.denied(c, "guest %.80q is being finished already", name)}
	}
	if a.ownTLS {
		call.Flags &^= uint32(libvirt.MigrateTLS)
	}
	if call.Cancelled != 0 {
		if err := a.life.CallingOff(); err != nil {
			g.forget(a, arrival.NeverRan)
			return outcome{g.denied(c, "%v", err)}
		}
		return outcome{libvirtrpc.Outcome{Body: call.Encode(), Reply: func(*libvirtrpc.Reply) { g.forget(a, arrival.NeverRan) }}}
	}
	resumed := a.transfer.Flags&libvirt.MigratePostcopyResume != 0
	if a.session != nil && a.transfer.Steered && !resumed && !a.session.HasMemory() {
		return outcome{g.denied(c, "no memory connection has arrived for guest %.80q, so there is nothing to finish", name)}
	}
	if resumed {
		g.gateway.AwaitResumed(ctx, a.guest.id)
	}
	if a.lead != nil && !a.life.InPostcopy() {
		if err := a.lead.depart(ctx, call); err != nil {
			g.giveUp(a)
			return refused(libvirtrpc.ErrOperationInvalid, err)
		}
	}
	if err := a.life.Finishing(); err != nil {
		g.forget(a, arrival.NeverRan)
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	a.setPhase(control.PhaseFinish)
	o := libvirtrpc.Outcome{Body: call.Encode(),
		Await: func() time.Duration {
			if a.life.InPostcopy() {
				return 0 // it is libvirt's to keep
			}
			return g.gateway.Config.Limits.FinishTimeout
		},
		Reply: func(r *libvirtrpc.Reply) {
			ctx, cancel := context.WithTimeout(context.Background(), g.gateway.Config.Limits.GiveUpTimeout)
			defer cancel()
			g.decide(ctx, a, r)
		},
		Lost: func(ctx context.Context) *libvirtrpc.Reply { return g.decideLost(ctx, a) },
	}
	if a.lead != nil {
		o.Read = func(read bool) { a.lead.read <- read }
	}
	return outcome{o}
}

// decide follows libvirt's answer to Finish. Where the guest runs here although libvirt says that
// it failed, the client is told that it runs: it would resume the guest at the source otherwise.
func (g *destinationFilter) decide(ctx context.Context, a *preparedGuest, r *libvirtrpc.Reply) {
	var failure error
	if r.Err != nil {
		failure = libvirt.Error{Code: uint32(r.Err.Code), Message: r.Err.Message}
	}
	v, words := a.life.Finished(ctx, failure)
	switch {
	case v == arrival.Ran && failure != nil:
		g.log.Warn().Str("guest", a.guest.name).Err(failure).Msg("libvirt says that it failed to take the guest over, and the guest runs here")
		r.Err, r.Body = nil, finishedBody(a.guest)
	case v == arrival.Undecided:
		r.Err = libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice on %s: nobody can tell whether the guest runs here: %s", g.gateway.Config.Name, words)
	}
	if v == arrival.Ran {
		g.log.Info().Str("guest", a.guest.name).Msg("guest runs here")
	}
	g.forget(a, v)
}

// decideLost looks what became of a guest when libvirtd has gone without an answer to Finish, for
// as long as a Finish may take. No answer is none: the source asks again.
func (g *destinationFilter) decideLost(ctx context.Context, a *preparedGuest) *libvirtrpc.Reply {
	ctx, cancel := context.WithTimeout(ctx, g.gateway.Config.Limits.FinishTimeout)
	defer cancel()
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		if v, _ := a.life.Finished(ctx, virt.ErrGone); v == arrival.Ran {
			g.log.Info().Str("guest", a.guest.name).Msg("guest runs here")
			g.forget(a, v)
			return &libvirtrpc.Reply{Body: finishedBody(a.guest)}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			g.forget(a, arrival.Undecided)
			return nil
		}
	}
}

// finishedBody is the body of a reply to Finish that says that the guest runs.
func finishedBody(g guest) []byte {
	return (&libvirtrpc.Finished{Domain: libvirtrpc.Domain{Name: g.name, UUID: g.id, ID: libvirtrpc.NoID}}).Encode()
}
