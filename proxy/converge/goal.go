package converge

import (
	"time"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Goal is what a migration is to reach, and what may be done to the guest for it.
type Goal struct {
	Downtime time.Duration // the guest may stand still for it at the end
	Deadline time.Duration // for the whole migration, from when it was asked for; 0: none

	Slow     bool // QEMU takes time from the guest (auto-converge), from when it sees that it has to
	Postcopy bool // the guest may be switched to post-copy
	Pause    bool // it may stand still for longer than Downtime
}

// Figures are what is known of a migration at one moment.
type Figures struct {
	virt.JobStats
	At   time.Duration // since the migration was asked for
	Rate uint64        // bytes per second that get through
	Most uint64        // bytes per second that may, if other migrations end; 0: it is not known
}

// Do is what an act is.
type Do int

// Acts.
const (
	Nothing  Do = iota
	Limit       // set the downtime that QEMU allows itself to Act.Downtime: QEMU stops no guest for longer
	Postcopy    // have QEMU switch to post-copy
	Abort       // end the migration; the guest stays
	Tell        // nothing but to say why
)

// Act is what is to be done now.
type Act struct {
	Do       Do
	Downtime time.Duration // of Limit
	Why      string        // what is done, and the reason with its figures; of Postcopy and Abort the reason alone

	raised bool // Limit: by a step towards the goal
	pause  bool // Limit: beyond the goal
	slowed bool // Tell: that QEMU slows the guest down, else of a stall
}
