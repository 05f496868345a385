package session

import (
	"sync/atomic"

	"github.com/virt-sluice/sluice/proxy/control"
)

// ClearCounts are the migrations begun in clear with hosts without a sluice.
type ClearCounts struct{ out, in atomic.Uint64 }

func (c *ClearCounts) Count(direction string) {
	if direction == control.Outgoing {
		c.out.Add(1)
		return
	}
	c.in.Add(1)
}

func (c *ClearCounts) Counts() map[string]uint64 {
	return map[string]uint64{control.Outgoing: c.out.Load(), control.Incoming: c.in.Load()}
}
