package relay

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
)

// Counters are the plain bytes of one stream or, shared, of several. They move
// while the relay runs, by what the kernel has accepted.
type Counters struct {
	Sent     atomic.Int64 // from the local socket to the peer
	Received atomic.Int64 // from the peer to the local socket

	LocalEnded atomic.Bool // the local application has ended its stream, in order
}

// Budget is a number of bytes that any number of channels share, both their directions together.
type Budget struct{ left atomic.Int64 }

// NewBudget returns a budget of n bytes.
func NewBudget(n int64) *Budget {
	b := new(Budget)
	b.left.Store(n)
	return b
}

// Lift ends the budget: any number of bytes may flow from now on.
func (b *Budget) Lift() { b.left.Store(math.MaxInt64) }

// Left returns the bytes that may still flow.
func (b *Budget) Left() int64 { return b.left.Load() }

// take takes up to n bytes and returns how many it got.
func (b *Budget) take(n int) int {
	for {
		left := b.left.Load()
		got := max(0, min(int64(n), left))
		if b.left.CompareAndSwap(left, left-got) {
			return int(got)
		}
	}
}

// Limits bound a relay. The zero value bounds nothing.
type Limits struct {
	// Send and Receive are bytes per second from and to the local socket. Every
	// limiter of a direction has to agree. They may be shared between relays.
	Send, Receive []*Limiter
	// Budget is the bytes of both directions together; nil is no limit.
	Budget *Budget
	// Buffers bound what is borrowed to read into; nil is no bound of its own.
	Buffers *Buffers
}

// flow is what bounds and counts one direction.
type flow struct {
	budget *Budget
	total  atomic.Int64  // of this relay
	shared *atomic.Int64 // of the caller's Counters; may be nil

	mu    sync.Mutex // held while the limiters are asked, for one piece after the other
	turns []*turn    // one for each limiter
}

// limit sets what bounds the flow.
func (f *flow) limit(by []*Limiter, budget *Budget) {
	f.budget = budget
	for _, l := range by {
		f.turns = append(f.turns, newTurn(l))
	}
}

// piece returns how many of n bytes should go through the limiters at once: little enough that no
// byte waits for tokens that it doesn't need itself, and that nobody has the turn for long.
func (f *flow) piece(n int) int {
	for _, t := range f.turns {
		n = min(n, t.limiter.piece())
	}
	return n
}

// admit waits until n bytes may pass and returns how many of them the budget
// has left. It returns ErrByteLimit when there are none.
func (f *flow) admit(ctx context.Context, n int) (int, error) {
	if len(f.turns) > 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
	}
	for _, t := range f.turns {
		if err := t.wait(ctx, n); err != nil {
			return 0, err
		}
	}
	if f.budget == nil {
		return n, nil
	}
	got := f.budget.take(n)
	if got == 0 {
		return 0, ErrByteLimit
	}
	return got, nil
}

func (f *flow) count(n int) {
	f.total.Add(int64(n))
	if f.shared != nil {
		f.shared.Add(int64(n))
	}
}
