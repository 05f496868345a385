package libvirtrpc

import (
	"context"
	"sync"
)

// A Budget is how many calls may be in flight at once, such as those of one peer over all of its
// connections. libvirtd works on so many at a time (max_workers in libvirtd.conf, 20), whosever
// they are; a caller who has them all, with calls that do not end, leaves none for others. Those
// that wait are served in the order in which they came.
type Budget struct {
	mu      sync.Mutex
	free    int
	waiting []*place
	turns   *turns // nil: a call has its place until it is replied to
}

// NewBudget returns a Budget of n calls.
func NewBudget(n int) *Budget { return &Budget{free: n} }

// TakePlaces waits for a place of each of budgets, in their order, and returns
// what gives them back. An error is ctx's.
func TakePlaces(ctx context.Context, budgets []*Budget) (leave func(), err error) {
	t := ticket{budgets: budgets}
	if !t.wait(ctx) {
		t.leave()
		return nil, context.Cause(ctx)
	}
	t.sent()
	return t.leave, nil
}

// place is one of a Budget's, or a turn in the queue for one.
type place struct {
	b     *Budget
	taken chan struct{} // closed once it is had
	left  bool
}

// queue takes a place, or a turn.
func (b *Budget) queue() *place {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &place{b: b, taken: make(chan struct{})}
	if b.free > 0 {
		b.free--
		close(p.taken)
	} else {
		b.waiting = append(b.waiting, p)
		b.turns.next()
	}
	return p
}

// had says whether the place is had already.
func (p *place) had() bool {
	select {
	case <-p.taken:
		return true
	default:
		return false
	}
}

// leave gives the place, or the turn in the queue, back, once.
func (p *place) leave() {
	b := p.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	b.turns.ended(p)
	for i, w := range b.waiting {
		if w == p {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			return
		}
	}
	if len(b.waiting) == 0 {
		b.free++
		return
	}
	next := b.waiting[0]
	b.waiting = b.waiting[1:]
	close(next.taken)
}
