package tunnel

import (
	"context"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// watch ends a relay whose counts have stood still for as long as idle.
func watch(ctx context.Context, c *relay.Counters, idle time.Duration, end context.CancelCauseFunc) {
	tick := time.NewTicker(max(idle/8, time.Millisecond))
	defer tick.Stop()
	moved, before := time.Now(), int64(0)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := c.Sent.Load() + c.Received.Load()
		switch {
		case now != before:
			moved, before = time.Now(), now
		case time.Since(moved) >= idle:
			end(fmt.Errorf("not a byte has moved for %v", idle))
			return
		}
	}
}
