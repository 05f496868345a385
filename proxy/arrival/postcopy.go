package arrival

import (
	"context"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// postcopyPoll is how often libvirt is asked whether a guest that may switch to post-copy has.
const postcopyPoll = 250 * time.Millisecond

// AwaitPostcopy calls switched once libvirt says that a part of the guest is here and the rest at
// its source. It returns when ctx ends.
func (a *Arrivals) AwaitPostcopy(ctx context.Context, uuid libvirt.UUID, switched func()) {
	again := time.NewTicker(postcopyPoll)
	defer again.Stop()
	for {
		if state, err := a.Libvirt.State(ctx, uuid); err == nil && state.InPostcopy() {
			switched()
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// InPostcopy says whether a part of the guest is still at its source, by libvirt's word.
func (g *Guest) InPostcopy() bool {
	return g.mayPostcopy() && g.arrivals.Libvirt.InPostcopy(g.UUID)
}

// AwaitPostcopy calls switched once libvirt says that the guest is in post-copy, where cutting its
// data off does more harm than any excess. A peer's word for it is none. It returns when ctx ends.
func (g *Guest) AwaitPostcopy(ctx context.Context, switched func()) {
	if g.mayPostcopy() {
		g.arrivals.AwaitPostcopy(ctx, g.UUID, switched)
	}
}

// whole says whether the guest has become whole here by post-copy. It waits a moment for libvirt to
// notice.
func (g *Guest) whole() bool {
	if !g.mayPostcopy() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.arrivals.Config.Limits.GiveUpTimeout)
	defer cancel()
	again := time.NewTicker(postcopyPoll)
	defer again.Stop()
	for {
		state, err := g.arrivals.Libvirt.State(ctx, g.UUID)
		if err == nil && !state.InPostcopy() {
			return g.runs(ctx, state)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
}

func (g *Guest) mayPostcopy() bool {
	return g.flags&(libvirt.MigratePostcopy|libvirt.MigratePostcopyResume) != 0
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
