package converge

import (
	"fmt"
	"math"
	"time"

	"github.com/virt-sluice/sluice/internal/units"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Decider decides about one migration.
type Decider struct {
	goal   Goal
	passes passes

	began time.Duration // when memory did; 0: it has not

	limit   time.Duration // that QEMU allows itself; 0: its own
	steps   int           // of the downtime limit that were taken
	raised  uint64        // the pass in which the last of them was
	best    uint64        // the most that has got through
	told    bool          // of a stall
	slowed  bool          // told that QEMU slows the guest down
	due     time.Duration // since when something that is allowed is to be done; 0: nothing is
	paused  time.Duration // when the limit was last raised beyond the goal; 0: it was not
	asked   bool          // QEMU was asked for post-copy
	aborted bool
}

const (
	// Steps are those from the first downtime limit to the goal.
	Steps = 4
	// Enough is the part of its time, in percent, that a guest is slowed down by before something else
	// that is allowed takes its turn.
	Enough = 50
	// patience is for how many passes a guest may be slowed down by less, and without a gain.
	patience = 20
	// margin is what switching a guest over takes beside sending its memory, at the most.
	margin = 2 * time.Second
	// settling is for how long the rate at which a migration begins says little.
	settling = 3 * time.Second
	// ramp is how many times what is left could get through before it would be late, when the limit
	// begins to be raised beyond the goal, without waiting for a stall, for a guest that changes about
	// as much as gets through.
	ramp = 2
	// far is how many times longer than there is time a migration must take, at the best rate seen, to
	// be given up ahead of its deadline.
	far = 2
)

// New begins. libvirt takes a downtime in milliseconds.
func New(g Goal) *Decider {
	g.Downtime = max(g.Downtime.Truncate(time.Millisecond), time.Millisecond)
	return &Decider{goal: g}
}

// Step says what is to be done now. What was done is told by Did, and then there may be more to do by
// the same figures. What could not be done is asked for again when there is reason to.
func (s *Decider) Step(f Figures) Act {
	s.passes.add(f)
	s.best = max(s.best, f.Rate)
	if s.began == 0 && f.Iteration > 0 {
		s.began = f.At
	}
	switch {
	case s.aborted:
		return Act{}
	case s.goal.Deadline > 0 && f.At >= s.goal.Deadline:
		return s.abort(f, fmt.Sprintf("the deadline of %v has come", s.goal.Deadline))
	case f.Total == 0: // libvirt has no figures yet
		return Act{}
	case s.hopeless(f):
		return s.abort(f, fmt.Sprintf("the deadline of %v can't be met: %s are left to be sent, which takes %v at the best rate so far, %s, and there are %v",
			s.goal.Deadline, units.Size(f.Remaining), round(takes(f.Remaining, s.most())), units.Rate(s.most()), round(s.goal.Deadline-f.At)))
	case s.limit == 0:
		first := step(s.goal.Downtime, 1)
		return Act{Do: Limit, Downtime: first, Why: fmt.Sprintf("downtime limit %v at first, of the %v that are allowed", first, s.goal.Downtime)}
	case s.asked:
		return Act{}
	case f.Iteration == 0: // disks, or nothing yet
		return Act{}
	case s.limit < s.goal.Downtime && f.Iteration > s.raised && s.passes.entered && s.passes.same():
		next := max(step(s.goal.Downtime, s.steps+1), s.limit+time.Millisecond)
		return Act{Do: Limit, Downtime: next, raised: true, Why: fmt.Sprintf("downtime limit raised from %v to %v: pass %d over memory begins with %s, and the one before began with %s",
			s.limit, next, f.Iteration, units.Size(s.passes.start), units.Size(s.passes.before))}
	}
	return s.stall(f)
}

// stall is what is to be done about a migration that gets nowhere, or not in time.
func (s *Decider) stall(f Figures) Act {
	n, spare := s.passes.stalled(), s.spare(f)
	left := s.passes.left()
	expected, late := takes(left, f.Rate), spare <= 0
	near := s.goal.Pause && !s.goal.Postcopy && spare <= ramp*expected && f.DirtyRate*10 >= f.Rate*9 // else passes become shorter by themselves
	switch {
	case f.Throttle > 0 && !s.slowed:
		return Act{Do: Tell, slowed: true, Why: fmt.Sprintf("QEMU slows the guest down, by %d %% of its time at first: %s", f.Throttle, rates(f))}
	case n > 0 && !s.told:
		return Act{Do: Tell, Why: s.tell(n, f)}
	case (late || near || n > 0) && s.limit < s.goal.Downtime:
		return Act{Do: Limit, Downtime: s.goal.Downtime, Why: fmt.Sprintf("downtime limit raised from %v to all that is allowed, %v: %s", s.limit, s.goal.Downtime, s.reason(n, f))}
	case !s.goal.Postcopy && !s.goal.Pause:
		return Act{}
	case n == 0 && !late && !near:
		s.due = 0 // it gets on
		return Act{}
	case s.goal.Slow && !late && !near && f.Throttle < Enough && n < patience:
		return Act{} // QEMU is at it
	}
	if expected == 0 || s.goal.Deadline > 0 && f.At+expected > s.goal.Deadline {
		return Act{} // nothing gets through, or not in time
	}
	why := s.reason(n, f)
	if s.due == 0 {
		s.due = f.At
	}
	switch {
	case !s.goal.Postcopy:
		return s.pause(f, spare, expected, fmt.Sprintf("%s are left, which take %v; %s: %s", units.Size(left), round(expected), why, rates(f)))
	case late, s.passes.low(), f.At-s.due >= within(2*expected, time.Second, 10*time.Second):
		return Act{Do: Postcopy, Why: fmt.Sprintf("%s are left; %s: %s", units.Size(left), why, rates(f))}
	}
	return Act{}
}

// reason is why something is done now.
func (s *Decider) reason(stalled uint64, f Figures) string {
	if stalled > 0 {
		return fmt.Sprintf("no progress over the last %d passes", stalled)
	}
	return fmt.Sprintf("%v are left until the deadline", round(s.goal.Deadline-f.At))
}

// pause lets QEMU stop the guest for longer than the goal: for half as long again each time, and for all
// that is left when it is late. QEMU stops it as soon as what is left gets through within the limit, so
// that it stands still for about the limit: one that rises slowly finds the guest's low points, and may
// be enough for one that never rests, since passes become shorter by it. So the steps have all the time
// that there is before it would be late. A limit that is enough for the low points of the last passes
// waits for the next. QEMU looks at all that the guest has changed before it stops it, so that it never
// does for longer.
func (s *Decider) pause(f Figures, spare, expected time.Duration, why string) Act {
	limit, hold := s.limit*3/2, within(expected/4, time.Second/2, 5*time.Second)
	rests := takes(s.passes.lowest(), f.Rate) <= s.limit
	switch {
	case spare <= 0 && s.limit < expected:
		limit, hold = expected+expected/4+s.goal.Downtime, 0
	case s.goal.Deadline > 0 && spare > 0:
		if hold = spare / time.Duration(halves(s.limit, expected)); rests {
			hold = spare
		}
	case rests:
		hold = within(4*expected, 2*time.Second, 20*time.Second)
	}
	if f.At-max(s.due, s.paused) < hold {
		return Act{}
	}
	if limit = min(limit, control.MostDowntime).Round(time.Millisecond); limit <= s.limit {
		return Act{}
	}
	return Act{Do: Limit, Downtime: limit, pause: true, Why: fmt.Sprintf("downtime limit raised from %v to %v, so that the guest may be stopped for so long (pause is allowed): %s", s.limit, limit, why)}
}

// halves is how many times from has to grow by a half to be enough, and at least once.
func halves(from, enough time.Duration) (n int) {
	for n = 1; from*3/2 < enough; n++ {
		from += from / 2
	}
	return n
}

func within(d, least, most time.Duration) time.Duration { return min(max(d, least), most) }

// Did says that an act was done.
func (s *Decider) Did(a Act) {
	switch a.Do {
	case Limit:
		s.limit = a.Downtime
		if a.raised || s.steps == 0 {
			s.steps++
		}
		if a.raised {
			s.raised = s.passes.last.Iteration
		}
		if a.pause {
			s.paused = s.passes.last.At
		}
	case Postcopy:
		s.asked = true
	case Abort:
		s.aborted = true
	case Tell:
		s.slowed, s.told = s.slowed || a.slowed, s.told || !a.slowed
	}
}

// step is the downtime limit after so many of all steps.
func step(goal time.Duration, n int) time.Duration {
	return max(time.Millisecond, (goal * time.Duration(min(n, Steps)) / Steps).Truncate(time.Millisecond))
}

func (s *Decider) abort(f Figures, why string) Act {
	if f.Total == 0 {
		return Act{Do: Abort, Why: why + ", before libvirt had any figures of the migration"}
	}
	if n := s.passes.stalled(); n > 0 {
		why += fmt.Sprintf(", with no progress over the last %d passes", n)
	}
	return Act{Do: Abort, Why: fmt.Sprintf("%s: %s are left, of which %s would get through in the downtime of %v; %s%s", why,
		units.Size(f.Remaining), units.Size(uint64(float64(f.Rate)*s.goal.Downtime.Seconds())), s.goal.Downtime, rates(f), s.more())}
}

// takes is how long so many bytes take at a rate.
func takes(n, rate uint64) time.Duration {
	if rate == 0 {
		return 0
	}
	const most = 365 * 24 * time.Hour
	return time.Duration(min(float64(n)/float64(rate), most.Seconds()) * float64(time.Second))
}

// most is the highest rate that there was or may be.
func (s *Decider) most() uint64 { return max(s.best, s.passes.last.Most) }

// hopeless says that what is left does not get through before the deadline, whatever is done. Of the
// first pass that is not known: it may be zeroes.
func (s *Decider) hopeless(f Figures) bool {
	need := takes(f.Remaining, s.most())
	left := s.goal.Deadline - f.At
	return s.goal.Deadline > 0 && f.Iteration > 1 && left > margin && need > far*left
}

// spare is how long what is left may wait, and still be there by the deadline. Of the first pass that is
// not known: it may be zeroes.
func (s *Decider) spare(f Figures) time.Duration {
	if s.goal.Deadline == 0 || f.Iteration < 2 || f.At-s.began < settling {
		return math.MaxInt64
	}
	need := takes(s.passes.left(), f.Rate)
	return s.goal.Deadline - f.At - need - max(margin, need/4)
}

// tell is a stall in words, and what comes of it.
func (s *Decider) tell(n uint64, f Figures) string {
	text := fmt.Sprintf("no progress over the last %d passes, which began with %s, and the one before with %s: %s; ", n, units.Size(s.passes.start), units.Size(s.passes.mark), rates(f))
	switch {
	case s.goal.Slow && f.Throttle < Enough:
		text += "QEMU slows it down"
	case s.goal.Postcopy:
		text += "post-copy is asked for when a pass begins with the least"
	case s.goal.Pause:
		text += "it may be stopped for longer, step by step"
	case s.goal.Deadline > 0:
		text += fmt.Sprintf("nothing that helps is allowed, so the guest is waited for until the deadline, in %v%s", round(s.goal.Deadline-f.At), s.more())
	default:
		text += "nothing that helps is allowed, so the guest is waited for" + s.more()
	}
	return text
}

// more says what was not allowed.
func (s *Decider) more() string {
	switch {
	case s.goal.Postcopy || s.goal.Pause:
		return ""
	case s.goal.Slow:
		return " (--allow postcopy or pause would help)"
	}
	return " (--allow slow, postcopy or pause would help)"
}

// rates are the two that a stall comes of.
func rates(f Figures) string {
	return fmt.Sprintf("the guest changes %s, and %s get through", units.Rate(f.DirtyRate), units.Rate(f.Rate))
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
