package relay

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Counters are the plain bytes of one stream or, shared, of several. They move
// while the relay runs, by what the kernel has accepted.
type Counters struct {
	Sent     atomic.Int64 // from the local socket to the peer
	Received atomic.Int64 // from the peer to the local socket
}

// Budget is a number of bytes that any number of channels share, both their
// directions together.
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
	// limiter of a direction has to agree. They may be shared between relays,
	// and their limits and bursts changed while these run: a change is obeyed
	// within a tenth of a second. A limit or burst of 0 stops the direction.
	Send, Receive []*rate.Limiter
	// Budget is the bytes of both directions together; nil is no limit.
	Budget *Budget
}

const (
	// recheck bounds how long a wait goes on after a limiter was changed.
	recheck = 100 * time.Millisecond
	// smooth is the time whose bytes go out as one piece under a limit.
	smooth = 20 * time.Millisecond
	// leastPiece keeps slow limits from turning into a system call per byte.
	leastPiece = 4096
)

// flow is what bounds and counts one direction.
type flow struct {
	limits []*rate.Limiter
	budget *Budget
	total  atomic.Int64  // of this relay
	shared *atomic.Int64 // of the caller's Counters; may be nil
}

// piece returns how many of n bytes should go through the limiters at once:
// little enough that no byte waits for tokens that it doesn't need itself.
func (f *flow) piece(n int) int {
	for _, l := range f.limits {
		r := l.Limit()
		if r == rate.Inf {
			continue
		}
		few := max(leastPiece, int(min(float64(r)*smooth.Seconds(), 1<<30)))
		n = min(n, few, max(1, l.Burst()))
	}
	return n
}

// admit waits until n bytes may pass and returns how many of them the budget
// has left. It returns ErrByteLimit when there are none.
func (f *flow) admit(ctx context.Context, n int) (int, error) {
	for _, l := range f.limits {
		if err := wait(ctx, l, n); err != nil {
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

// wait takes n tokens from l. rate.Limiter.WaitN would sleep through a change
// of the limit, and refuse more tokens than the burst.
func wait(ctx context.Context, l *rate.Limiter, n int) error {
	for n > 0 {
		limit := l.Limit()
		if limit == rate.Inf {
			return nil
		}
		some := min(n, max(1, l.Burst()))
		now := time.Now()
		r := l.ReserveN(now, some)
		delay := r.DelayFrom(now)
		if limit <= 0 || delay > time.Hour { // or not OK: that is the longest
			r.CancelAt(now)
			if err := sleep(ctx, recheck); err != nil {
				return err
			}
			continue
		}
		ready := now.Add(delay)
		changed := false
		for d := time.Until(ready); d > 0; d = time.Until(ready) {
			if err := sleep(ctx, min(d, recheck)); err != nil {
				r.Cancel()
				return err
			}
			if changed = l.Limit() != limit; changed {
				break
			}
		}
		if changed {
			r.Cancel() // and ask again, at the new rate
			continue
		}
		n -= some
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
