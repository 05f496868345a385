package evacuate

import (
	"math"
	"slices"
	"time"
)

// job is what is left of one guest's move.
type job struct {
	of *move
	work
}

// jobs are those of guests that are not settled, in their order. known says whether it is known of all
// how long they take.
func (e *Evacuation) jobs() (under, next []job, known bool) {
	times := e.times()
	known = true
	for _, m := range e.moves {
		if m.state == settled {
			continue
		}
		known = known && m.ends()
		j := job{m, m.planned()}
		j.fixed, j.send = j.fixed*times.fixed, j.send*times.send
		if m.state == moving {
			j.fixed = max(0, j.fixed-m.took.fixed)
			j.send *= 1 - m.part()
			under = append(under, j)
			continue
		}
		next = append(next, j)
	}
	return under, next, known
}

// schedule is how long it takes until all are done: those under way, and then the others in their
// order. All that send at once share the link, unless they are apart.
func (e *Evacuation) schedule(under, next []job) time.Duration {
	at, busy := 0.0, make(map[*host]int)
	var moves []*move // of those under way
	begin := func(j job) {
		busy[j.of.to]++
		moves = append(moves, j.of)
	}
	done := func(j job) bool {
		busy[j.of.to]--
		moves = slices.DeleteFunc(moves, func(m *move) bool { return m == j.of })
		return true
	}
	for _, j := range under {
		begin(j)
	}
	for len(under)+len(next) > 0 {
		for len(under) < e.Parallel {
			i := slices.IndexFunc(next, func(j job) bool { return busy[j.of.to] < max(1, j.of.to.room) && j.of.joins(moves) })
			if i < 0 {
				break
			}
			begin(next[i])
			under = append(under, next[i])
			next = slices.Delete(next, i, i+1)
		}
		share := 0.0
		for _, j := range under {
			if j.fixed <= 0 {
				share++
			}
		}
		if e.Apart {
			share = min(share, 1)
		}
		step := math.Inf(1) // until the next of them gets on to sending, or is done
		for _, j := range under {
			if j.fixed > 0 {
				step = min(step, j.fixed)
			} else {
				step = min(step, j.send*share)
			}
		}
		at += step
		under = slices.DeleteFunc(under, func(j job) bool { return j.fixed <= 0 && j.send*share <= step && done(j) })
		for i := range under {
			if j := &under[i]; j.fixed > 0 {
				j.fixed -= step
			} else {
				j.send -= step / share
			}
		}
	}
	return time.Duration(min(at, mostSeconds) * float64(time.Second))
}
