package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/stream"
)

// sourceFilter reads what a local libvirt client says to a peer's libvirt, and gives
// every migration that it sees begin a session of its own. What may not be
// called over there is for the peer to say.
type sourceFilter struct {
	gateway *Gateway
	peer    *peer.Peer
	log     zerolog.Logger
	session string // the client's
	asked   *control.Asker
	caller  *localCaller
	cut     func(*stream.Cause) // ends the way to the peer's libvirt

	mu     sync.Mutex
	moving map[string]*steeredSource // by the guest's name at the destination
	all    []*steeredSource
	pulled []string // IDs of sessions that pulls may have

	begun begunMigrations
}

// Busy implements libvirtrpc.Rules.
func (g *sourceFilter) Busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.moving) > 0 || g.begun.any()
}

// Judge implements libvirtrpc.Rules.
func (g *sourceFilter) Judge(h libvirtrpc.Head) (hold bool, refusal *libvirtrpc.Error) {
	if h.Program != libvirtrpc.ProgramRemote || h.Type != libvirtrpc.TypeCall {
		return false, nil
	}
	switch h.Procedure {
	case libvirtrpc.ProcConnectSupportsFeature,
		libvirtrpc.ProcMigratePrepare3Params, libvirtrpc.ProcMigratePrepareTunnel3Params, libvirtrpc.ProcMigratePrepare3,
		libvirtrpc.ProcMigrateFinish3Params, libvirtrpc.ProcMigrateFinish3,
		libvirtrpc.ProcMigrateBegin3Params, libvirtrpc.ProcMigratePerform3Params, libvirtrpc.ProcMigrateConfirm3Params:
		return true, nil
	}
	return false, tooOld(h.Procedure)
}

// tooOld refuses the forms of the protocol that are not carried.
func tooOld(p libvirtrpc.Procedure) *libvirtrpc.Error {
	name := libvirtrpc.Refused[p]
	if name == "" {
		return nil
	}
	return libvirtrpc.Errorf(libvirtrpc.ErrUnsupported,
		"sluice does not carry this old form of libvirt's migration protocol (%s): use libvirt 1.1.0 or newer at the source, or `sluice migrate`", name)
}

// Understand implements libvirtrpc.Rules.
func (g *sourceFilter) Understand(ctx context.Context, c *libvirtrpc.Call) libvirtrpc.Outcome {
	switch c.Procedure {
	case libvirtrpc.ProcConnectSupportsFeature:
		return denyFDs(c)
	case libvirtrpc.ProcMigratePrepare3:
		return g.prepare(ctx, c, libvirtrpc.DecodePrepare3).as(libvirtrpc.ProcMigratePrepare3Params)
	case libvirtrpc.ProcMigrateFinish3:
		return g.finish(ctx, c, libvirtrpc.DecodeFinish3).as(libvirtrpc.ProcMigrateFinish3Params)
	case libvirtrpc.ProcMigrateBegin3Params:
		begun := func(*libvirtrpc.Reply) {}
		if call, err := libvirtrpc.DecodeBegin(c.Body); err == nil { // else the peer has words for that
			begun = g.begun.begun(call.Domain.UUID)
		}
		return libvirtrpc.Outcome{Reply: func(r *libvirtrpc.Reply) {
			begun(r)
			g.acceptBegun(ctx, r)
		}}
	case libvirtrpc.ProcMigratePerform3Params:
		return g.pull(c)
	case libvirtrpc.ProcMigrateConfirm3Params:
		if call, err := libvirtrpc.DecodeConfirm(c.Body); err == nil {
			return libvirtrpc.Outcome{Reply: func(*libvirtrpc.Reply) { g.begun.confirmed(call.Domain.UUID) }}
		}
		return libvirtrpc.Outcome{}
	case libvirtrpc.ProcMigrateFinish3Params:
		return g.finish(ctx, c, libvirtrpc.DecodeFinish).Outcome
	}
	return g.prepare(ctx, c, libvirtrpc.DecodePrepare).Outcome
}

// outcome is an Outcome that can be given a procedure.
type outcome struct{ libvirtrpc.Outcome }

func (o outcome) as(p libvirtrpc.Procedure) libvirtrpc.Outcome {
	o.Procedure = p
	return o.Outcome
}

func refused(code libvirtrpc.Code, err error) outcome {
	return outcome{libvirtrpc.Outcome{Err: libvirtrpc.Errorf(code, "sluice: %v", err)}}
}

// denyFDs answers no to the question whether file descriptors can be passed,
// to which libvirtd says yes whoever asks.
func denyFDs(c *libvirtrpc.Call) libvirtrpc.Outcome {
	feature, err := libvirtrpc.DecodeFeature(c.Body)
	if err == nil && feature == libvirtrpc.FeatureFDPassing {
		return libvirtrpc.Outcome{Answer: libvirtrpc.Unsupported()}
	}
	return libvirtrpc.Outcome{}
}

func (g *sourceFilter) prepare(ctx context.Context, c *libvirtrpc.Call, decode func([]byte) (*libvirtrpc.Prepare, error)) outcome {
	call, err := decode(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	t, err := transfer.Of(call.Flags, call.Params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	told(call, &t)
	replaced := g.gateway.replace(g.peer, call, &t)
	if t.InClear != "" && g.gateway.Config.Secure() && !g.gateway.redirected(g.peer, t) {
		refusal := g.gateway.insecure(t, g.asked.String())
		g.log.Warn().Str("cause", refusal.Message).Msg("migration refused")
		return outcome{libvirtrpc.Outcome{Err: refusal}}
	}
	guest, err := guestOf(call.Params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	// A guest that is not here is another host's, and its data's way not ours.
	if state, err := g.gateway.Libvirt.State(ctx, guest.id); t.Steered && err == nil && state.Absent {
		return outcome{libvirtrpc.Outcome{Body: call.Encode()}}
	}
	m, err := g.gateway.steer(ctx, g.peer, steering{guest: guest, transfer: t, id: stream.NewID(), beside: g.session, asked: g.asked})
	if err != nil {
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	if replaced {
		m.entry.InPlaceOf(m.log, t.URIs)
	}
	g.mu.Lock()
	g.moving[guest.name] = m
	g.all = append(slices.DeleteFunc(g.all, (*steeredSource).isOver), m)
	g.mu.Unlock()
	return outcome{m.prepare(call, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.moving[guest.name] == m {
			delete(g.moving, guest.name)
		}
	})}
}

func (g *sourceFilter) finish(ctx context.Context, c *libvirtrpc.Call, decode func([]byte) (*libvirtrpc.Finish, error)) outcome {
	call, err := decode(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	name, _, err := call.Params.Text(libvirtrpc.ParamDestName)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err)
	}
	g.mu.Lock()
	m := g.moving[name]
	delete(g.moving, name)
	g.mu.Unlock()
	if m == nil { // the peer has words for that
		return outcome{libvirtrpc.Outcome{Body: call.Encode()}}
	}
	return m.finish(ctx, call, g.caller, g.cut)
}

// ended waits a moment for the migrations under way to fail: when the peer has
// ended the connection, it knows why, and says so on each session.
func (g *sourceFilter) ended() {
	g.mu.Lock()
	all := slices.Clone(g.all)
	g.mu.Unlock()
	patience := time.NewTimer(graceForCause)
	defer patience.Stop()
	for _, m := range all {
		select {
		case <-m.session.Settled():
		case <-patience.C:
			return
		}
	}
}

// graceForCause is how long a connection that the peer has ended may wait for
// the peer's word on the migrations that it belonged to.
const graceForCause = 2 * time.Second

// end ends the migrations that the client's connection leaves behind, and
// returns when nothing is left of any.
func (g *sourceFilter) end(cause *stream.Cause) {
	g.mu.Lock()
	all := g.all
	for _, id := range g.pulled {
		g.gateway.arrivals.Pulls.Remove(id)
	}
	g.mu.Unlock()
	for _, m := range all {
		if !m.isOver() {
			m.lost(cause)
		}
	}
}
