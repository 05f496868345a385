package relay

import (
	"runtime"
	"sync/atomic"
)

// permits are for directions that are moving much: as many as there are processors, and the others
// wait in order. Go runs whoever is ready by turns, so that one byte beside 200 streams would wait
// for a move of each, at every hop; those that wait for a permit are not ready. The memory that is
// lent to so few, too, stays in the processors' caches.
var permits = make(chan struct{}, runtime.GOMAXPROCS(0))

// permit is a direction's. It is given back before whatever else there is to wait for: a holder that
// waited for its peer would be a wait for all others.
type permit struct {
	ended  <-chan struct{} // of the run: nobody waits any longer
	wanted bool
	held   atomic.Bool // by the direction; given back by whoever is about to wait
}

// next begins a move, for which a permit is wanted or not.
func (p *permit) next(wanted bool) {
	p.give()
	p.wanted = wanted
}

// take gets the permit if one is wanted. Before it waits it calls idle.
func (p *permit) take(idle func()) {
	if p == nil || !p.wanted || p.held.Load() {
		return
	}
	select {
	case permits <- struct{}{}:
	default:
		idle()
		select {
		case permits <- struct{}{}:
		case <-p.ended:
			return
		}
	}
	p.held.Store(true)
}

func (p *permit) give() {
	if p != nil && p.held.CompareAndSwap(true, false) {
		<-permits
	}
}
