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
