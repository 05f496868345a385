package arrival

import (
	"context"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// postcopyPoll is how often libvirt is asked whether a guest that may switch to post-copy has.
const postcopyPoll = 250 * time.Millisecond

// awaitPostcopy calls switched once libvirt says that a part of the guest is here and the rest at its
// source. It returns when ctx ends.
func (a *Arrivals) awaitPostcopy(ctx context.Context, uuid libvirt.UUID, switched func()) {
	look := &virt.LazyConn{Libvirt: a.Libvirt}
	defer look.Close()
	again := time.NewTicker(postcopyPoll)
	defer again.Stop()
	for {
		var state virt.State
		err := look.Call(func(c *virt.Conn) (err error) {
			state, err = c.State(ctx, uuid)
			return err
		})
		if err == nil && state.InPostcopy() {
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
