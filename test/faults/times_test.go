package faults

import "time"

// A limit is the time in which a caller must know what became of its migration, and why so long.
type limit struct {
	name   string
	within time.Duration // from the strike, or from the end of the fault if it has a length
	why    string
}

// busy is what a busy machine adds to everything.
const busy = 20 * time.Second

var (
	// The copy takes some 5 s, at the bandwidth of the cases.
	quick = limit{"quick", 30*time.Second + busy, "the kernel or libvirt tells it at once; the rest is the copy itself"}
	// The fault can be noticed by silence alone.
	silent = limit{"silent", 75*time.Second + busy, "idle_timeout and libvirt's keepalive (30 s each), then give_up_timeout (15 s)"}
	// Finish has no answer.
	asked = limit{"asked", 75*time.Second + busy, "finish_timeout (60 s) and give_up_timeout (15 s): then it is told that nobody can tell"}
)

// limits are all, for the results.
var limits = []limit{quick, silent, asked}

// due is the limit of a case.
func (c *testCase) due() limit {
	switch {
	case c.fault.lasts == forGood && c.moment.finish, c.mayHold():
		return asked
	case c.fault.lasts == forGood, c.fault.apart:
		return silent
	}
	return quick
}
