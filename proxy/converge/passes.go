package converge

import "time"

// passes follows the passes over a guest's memory, from the second on: the first takes in all of it,
// changed or not.
type passes struct {
	began   time.Duration // when the pass under way was seen first
	start   uint64        // bytes that were left when it began
	before  uint64        // the same of the pass before; 0: there is none
	mark    uint64        // with which the last one began that gained anything
	recent  []uint64      // with which the last ones have begun, oldest first
	gained  uint64        // the number of that
	since   time.Duration // when it began
	last    Figures
	entered bool // the last figures are the first of their pass
}

const (
	// leastGain is how much less a pass has to begin with, in percent, to have gained anything.
	leastGain = 10
	// A stall is told after so many passes without a gain, and no sooner than that: a guest may do
	// more for a few seconds. Of passes that take longer fewer do.
	stallPasses = 3
	stallTime   = 4 * time.Second
	fewPasses   = 2
	// lowPasses are those of which one with little left is waited for.
	lowPasses = 8
)

// add takes in figures. Between two of them a pass may have begun some time ago: what it has sent
// since is what was sent in all, less what was left of the one before. The same figures may be added
// again.
func (p *passes) add(f Figures) {
	if f == p.last {
		return
	}
	p.entered = f.Iteration >= 2 && f.Iteration > p.last.Iteration
	if p.entered {
		left := f.MemoryRemaining
		if sent := f.Processed - min(p.last.Processed, f.Processed); f.Iteration == p.last.Iteration+1 && sent > p.last.MemoryRemaining {
			left += sent - p.last.MemoryRemaining
		}
		p.begin(f, left)
	}
	p.last = f
}

func (p *passes) begin(f Figures, left uint64) {
	p.began, p.before, p.start = f.At, p.start, left
	if p.gained == 0 || left <= less(p.mark) {
		p.mark, p.gained, p.since = left, f.Iteration, f.At
	}
	if p.recent = append(p.recent, left); len(p.recent) > lowPasses {
		p.recent = p.recent[1:]
	}
}

// same says whether the pass under way began with no less than the one before.
func (p *passes) same() bool {
	return p.before > 0 && p.start > less(p.before)
}

// less is what is clearly less than n.
func less(n uint64) uint64 { return n - n*leastGain/100 }

// stalled is the number of passes that have brought no less, once these are a stall; else 0.
func (p *passes) stalled() uint64 {
	if p.gained == 0 {
		return 0
	}
	n, time := p.last.Iteration-min(p.gained, p.last.Iteration), p.last.At-p.since
	if n >= stallPasses && time >= stallTime || n >= fewPasses && time >= 2*stallTime {
		return n
	}
	return 0
}

// StallTime is after how long a migration whose passes take so long, and gain nothing, is seen to have
// stalled.
func StallTime(pass time.Duration) time.Duration {
	return max(stallTime, min(stallPasses*pass, max(2*stallTime, fewPasses*pass)))
}

// low says whether a pass has just begun, with about as little as any of the last ones.
func (p *passes) low() bool {
	if !p.entered {
		return false
	}
	return less(p.start) <= p.lowest()
}

// lowest is the least that any of the last passes has begun with.
func (p *passes) lowest() uint64 {
	least := p.start
	for _, n := range p.recent {
		least = min(least, n)
	}
	return least
}

// left is what is to be sent at the least from now on if the guest stops changing it: what is left of
// the pass, and what was changed behind it since it began, as far as QEMU tells.
func (p *passes) left() uint64 {
	f := p.last
	changed := uint64(float64(f.DirtyRate) * (f.At - p.began).Seconds())
	if f.Iteration < 2 {
		return f.MemoryRemaining
	}
	return f.MemoryRemaining + min(changed, p.start-min(f.MemoryRemaining, p.start))
}
