package evacuate

import (
	"math"
	"slices"
	"time"
)

// job is what is left of one guest's move.
type job struct {
	to *host
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
		j := job{m.to, m.planned()}
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
	for _, j := range under {
		busy[j.to]++
	}
	for len(under)+len(next) > 0 {
		for len(under) < e.Parallel {
			i := slices.IndexFunc(next, func(j job) bool { return busy[j.to] < max(1, j.to.room) })
			if i < 0 {
				break
			}
			busy[next[i].to]++
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
		under = slices.DeleteFunc(under, func(j job) bool { return j.fixed <= 0 && j.send*share <= step && done(busy, j) })
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

func done(busy map[*host]int, j job) bool {
	busy[j.to]--
	return true
}
