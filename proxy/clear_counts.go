package proxy

import (
	"sync/atomic"

	"github.com/virt-sluice/sluice/internal/control"
)

// clearCounts are the migrations begun in clear with hosts without a sluice.
type clearCounts struct{ out, in atomic.Uint64 }

func (c *clearCounts) count(direction string) {
	if direction == control.Outgoing {
		c.out.Add(1)
		return
	}
	c.in.Add(1)
}

func (c *clearCounts) counts() map[string]uint64 {
	return map[string]uint64{control.Outgoing: c.out.Load(), control.Incoming: c.in.Load()}
}
