package relay

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// permits are for directions that are moving much: as many as there are processors, and the others
// wait. Go runs whoever is ready by turns, so that one byte beside 200 streams would wait for a move
// of each, at every hop; those that wait for a permit are not ready.
var permits = newPermitPool(runtime.GOMAXPROCS(0))

// turnBytes is how much a direction moves before those that have waited longer. It is many moves,
// between which it may have to wait for its peers, without a permit. So of many streams only a few
// are at work at a time, at every hop, and what they have written is still in the processors' caches
// when it is read.
const turnBytes = 1 << 20

type permitPool struct {
	mu         sync.Mutex
	size, left int
	begun      []*permit // those that wait in the middle of a turn
	others     []*permit
}

func newPermitPool(n int) *permitPool { return &permitPool{size: n, left: n} }

// permit is a direction's. It is given back before whatever else there is to wait for: a holder that
// waited for its peer would be a wait for all others.
type permit struct {
	ended  <-chan struct{} // of the run: nobody waits any longer
	wanted bool
	held   atomic.Bool   // by the direction; given back by whoever is about to wait
	turn   int           // bytes moved of it
	given  chan struct{} // the permit, to one that waits
}

// next begins a move, for which a permit is wanted or not.
func (p *permit) next(wanted bool) {
	if wanted && p.held.Load() {
		poller.ask() // before the permit is the next one's, who would keep the processor
	}
	p.give()
	p.wanted = wanted
}

// moved is told of n bytes. What a permit costs the others is not much less for few of them.
func (p *permit) moved(n int) {
	if p.turn += max(n, roomEnough); p.turn >= turnBytes {
		p.turn = 0
	}
}

// take gets the permit if one is wanted. Before it waits it calls idle.
func (p *permit) take(idle func()) {
	if p == nil || !p.wanted || p.held.Load() {
		return
	}
	if !permits.take(p) {
		idle()
		select {
		case <-p.given:
		case <-p.ended:
			permits.leave(p)
			return
		}
	}
	p.held.Store(true)
}

func (p *permit) give() {
	if p != nil && p.held.CompareAndSwap(true, false) {
		permits.give()
	}
}

// take takes a permit, or has p wait for one and returns false.
func (pp *permitPool) take(p *permit) bool {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	if pp.left > 0 {
		pp.left--
		return true
	}
	if p.given == nil {
		p.given = make(chan struct{}, 1)
	}
	if p.turn > 0 {
		pp.begun = append(pp.begun, p)
	} else {
		pp.others = append(pp.others, p)
	}
	return false
}

// give gives a permit to the next.
func (pp *permitPool) give() {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	for _, q := range []*[]*permit{&pp.begun, &pp.others} {
		if len(*q) > 0 {
			(*q)[0].given <- struct{}{}
			*q = slices.Delete(*q, 0, 1)
			return
		}
	}
	pp.left++
}

// leave ends p's wait. A permit that it has been given meanwhile is the next one's.
func (pp *permitPool) leave(p *permit) {
	pp.mu.Lock()
	for _, q := range []*[]*permit{&pp.begun, &pp.others} {
		if i := slices.Index(*q, p); i >= 0 {
			*q = slices.Delete(*q, i, i+1)
			pp.mu.Unlock()
			return
		}
	}
	pp.mu.Unlock()
	<-p.given
	pp.give()
}

// out is how many permits are taken.
func (pp *permitPool) out() int {
	pp.mu.Lock()
	defer pp.mu.Unlock()
	return pp.size - pp.left
}
