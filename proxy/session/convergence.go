package session

import (
	"time"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// convergence tells whether the passes over a guest's memory come to an end. What is left at the
// beginning of a pass is what the guest has changed during the one before it: if that does not
// become less, no pass will be short enough to be the last. A rate of QEMU's can't tell: it counts a
// page once in each pass, and so is a little below what the link carries just when nothing is gained.
//
// Figures come a few times a second, and passes may be shorter. So passes are taken together to
// stretches of at least stretchTime, and what counts is the most that was left in each.
type convergence struct {
	began   time.Time // of the stretch
	high    uint64    // the most that was left in it
	before  []uint64  // of the two stretches before, oldest first
	pass    uint64    // the last seen
	from    uint64    // the pass since which nothing was gained
	stalled bool
}

const (
	stretchTime = 4 * time.Second
	// leastGain is what the most that is left must fall by from one stretch to the next, in percent.
	leastGain = 10
)

func (c *convergence) add(now time.Time, st virt.JobStats) {
	if st.Iteration < 2 { // the first pass takes in all memory, changed or not
		*c = convergence{}
		return
	}
	switch {
	case c.began.IsZero():
		c.began, c.from = now, st.Iteration
	case st.Iteration > c.pass && now.Sub(c.began) >= stretchTime:
		if n := len(c.before); n > 0 && gains(c.before[n-1], c.high) {
			c.stalled, c.from, c.before = false, c.pass, c.before[:0]
		}
		if c.before = append(c.before, c.high); len(c.before) > 2 {
			c.before = c.before[1:]
		}
		c.began, c.high = now, 0
	}
	c.pass, c.high = st.Iteration, max(c.high, st.MemoryRemaining)
	if len(c.before) == 2 && !gains(c.before[1], c.high) {
		c.stalled = true
	}
}

// gains says whether clearly less is left than before.
func gains(before, now uint64) bool { return float64(now) <= float64(before)*(100-leastGain)/100 }

// passes without a gain, 0 as long as the migration gets on.
func (c *convergence) passes() uint64 {
	if !c.stalled {
		return 0
	}
	return c.pass - c.from
}
