package libvirtrpc

import (
	"context"
	"slices"
	"sync"
)

// perConnection is how many calls of one connection may be in flight at once. At five libvirtd
// reads no more of it (max_client_requests in libvirtd.conf), not even pings.
const perConnection = 4

// places are those that a connection's calls have, by the calls' serials at the
// daemon. A call keeps its places until the daemon has replied, also when it has
// been answered here, or its client has gone: the daemon still works on it.
type places struct {
	own     *Budget
	budgets []*Budget

	mu sync.Mutex
	of map[uint32]*ticket
}

// ticket is a call's way through the budgets, one after the other: who waits for
// the last has the others, so that all connections are served in turn.
type ticket struct {
	budgets []*Budget // still to be queued for
	places  []*place
}

func newPlaces(budgets []*Budget) *places {
	return &places{own: NewBudget(perConnection), budgets: budgets, of: make(map[uint32]*ticket)}
}

// queue takes places for a call, as far as they are to be had at once. A call of high priority
// takes one of its connection alone: libvirtd has workers of their own for those (prio_workers).
func (ps *places) queue(h Head) *ticket {
	t := &ticket{budgets: append([]*Budget{ps.own}, ps.budgets...)}
	if h.Program == ProgramRemote && highPriority[h.Procedure] {
		t.budgets = t.budgets[:1]
	}
	t.advance()
	return t
}

// advance queues for what is left, up to the first place that is not had, and says whether all are.
func (t *ticket) advance() bool {
	for {
		if n := len(t.places); n > 0 && !t.places[n-1].had() {
			return false
		}
		if len(t.budgets) == 0 {
			return true
		}
		t.places = append(t.places, t.budgets[0].queue())
		t.budgets = t.budgets[1:]
	}
}

// wait waits until all places are had, or ctx ends.
func (t *ticket) wait(ctx context.Context) bool {
	for !t.advance() {
		select {
		case <-t.places[len(t.places)-1].taken:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// sent says that the call goes to the daemon now.
func (t *ticket) sent() {
	for _, p := range t.places {
		p.sent()
	}
}

func (t *ticket) leave() {
	for _, p := range slices.Backward(t.places) {
		p.leave()
	}
}

// keep notes the places of a call that goes to the daemon.
func (ps *places) keep(serial uint32, t *ticket) {
	t.sent()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.of[serial] = t
}

// leave gives back those of a call that the daemon has replied to.
func (ps *places) leave(serial uint32) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if t := ps.of[serial]; t != nil {
		t.leave()
		delete(ps.of, serial)
	}
}

func (ps *places) leaveAll() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for serial, t := range ps.of {
		t.leave()
		delete(ps.of, serial)
	}
}

// any says whether the daemon works on a call.
func (ps *places) any() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.of) > 0
}
