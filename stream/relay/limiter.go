package relay

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// recheck bounds how long a wait goes on after a limiter was changed.
	recheck = 100 * time.Millisecond
	// burstTime is the time whose bytes a limiter lets through at once: a limited
	// stream stays smooth.
	burstTime = 20 * time.Millisecond
	// leastBurst is one full TLS record: any read can pass.
	leastBurst = 16 << 10
	// pieceTime is the time whose bytes go out in one turn, and leastPiece keeps slow
	// limits from turning into a system call for each byte.
	pieceTime  = 2 * time.Millisecond
	leastPiece = 4096
	// smallPart is the part of a limit below which a flow borrows, and smallBurst how
	// many bytes it may borrow at once. debtTime bounds what all have borrowed.
	smallPart  = 64
	smallBurst = 16 << 10
	debtTime   = 2 * burstTime
)

// Limiter bounds the bytes per second of any number of directions together. It serves those that
// wait by turns, each as many bytes as the others (start-time fair queueing), so that one that has
// asked for little is next. One that moves next to nothing, such as the requests of a post-copy,
// does not wait at all: it borrows, and those that move much wait the longer.
type Limiter struct {
	bucket *rate.Limiter

	mu      sync.Mutex
	busy    bool    // somebody has the turn
	waiting []*turn // the others
	now     int64   // virtual time: the bytes that each has had who waited all the while
}

// NewLimiter returns a limiter of so many bytes per second; nil, which is none,
// if that is not more than zero.
func NewLimiter(bytesPerSecond int64) *Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &Limiter{bucket: rate.NewLimiter(rate.Limit(bytesPerSecond), burst(bytesPerSecond))}
}

// NewShared returns a limiter of so many bytes per second, or without a limit if that is not more
// than zero, for one that SetRate may give another.
func NewShared(bytesPerSecond int64) *Limiter {
	if l := NewLimiter(bytesPerSecond); l != nil {
		return l
	}
	return &Limiter{bucket: rate.NewLimiter(rate.Inf, leastBurst)}
}

func burst(bytesPerSecond int64) int {
	return max(int(bytesPerSecond/int64(time.Second/burstTime)), leastBurst)
}

// SetRate changes the limit; without one if it is not more than zero. Those that
// wait obey within a tenth of a second.
func (l *Limiter) SetRate(bytesPerSecond int64) {
	limit := rate.Inf
	if bytesPerSecond > 0 {
		limit = rate.Limit(bytesPerSecond)
	}
	if l.bucket.Limit() == limit {
		return
	}
	// The limit first: a bucket without one, asked twice in the same instant how much has flowed
	// into it, would have no number for it (0 · ∞) and let everything through from then on.
	l.bucket.SetLimit(limit)
	if bytesPerSecond > 0 {
		l.bucket.SetBurst(burst(bytesPerSecond))
	}
}

// piece is how many bytes should go at once.
func (l *Limiter) piece() int {
	r := l.bucket.Limit()
	if r == rate.Inf {
		return 1 << 30
	}
	return min(max(leastPiece, int(float64(r)*pieceTime.Seconds())), max(1, l.bucket.Burst()))
}

// turn is one direction at one limiter.
type turn struct {
	limiter     *Limiter
	small       *rate.Limiter // what it may borrow
	start, next int64         // in the limiter's virtual time: of this piece, and the earliest of the next
	given       chan struct{} // the turn, to one that waits
}

func newTurn(l *Limiter) *turn {
	return &turn{limiter: l, small: rate.NewLimiter(0, smallBurst), given: make(chan struct{}, 1)}
}

// wait waits until n bytes may pass.
func (t *turn) wait(ctx context.Context, n int) error {
	l := t.limiter
	if l.bucket.Limit() == rate.Inf || t.borrow(n) {
		return nil
	}
	if err := l.begin(ctx, t); err != nil {
		return err
	}
	err := take(ctx, l.bucket, n)
	t.next = t.start + int64(n)
	l.end()
	return err
}

// borrow lets n bytes pass at once, if the flow is one that moves little: absolutely, and beside
// those that wait. They count: whoever comes next waits for them, and this flow if it has to wait
// later. With very many flows each of them moves little, and those that borrow would have it all.
func (t *turn) borrow(n int) bool {
	l, bucket, now := t.limiter, t.limiter.bucket, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	start := max(l.now-int64(l.piece()), t.next)
	if l.busy && start > l.now {
		return false
	}
	limit := bucket.Limit()
	if t.small.Limit() != limit/smallPart {
		t.small.SetLimitAt(now, limit/smallPart)
	}
	if limit <= 0 || n > bucket.Burst() || bucket.TokensAt(now) < -float64(limit)*debtTime.Seconds() || !t.small.AllowN(now, n) {
		return false
	}
	if !bucket.ReserveN(now, n).OK() {
		return false
	}
	t.next = start + int64(n)
	return true
}

// begin waits for the turn.
func (l *Limiter) begin(ctx context.Context, t *turn) error {
	l.mu.Lock()
	// One that did not wait before goes before those that did, by a piece.
	t.start = max(l.now-int64(l.piece()), t.next)
	if !l.busy {
		l.busy, l.now = true, t.start
		l.mu.Unlock()
		return nil
	}
	l.waiting = append(l.waiting, t)
	l.mu.Unlock()
	select {
	case <-t.given:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting, t)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 { // it has been given meanwhile
		<-t.given
		l.end()
	}
	return context.Cause(ctx)
}

// end gives the turn to whoever has had the least.
func (l *Limiter) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = len(l.waiting) > 0
	if !l.busy {
		return
	}
	first := 0
	for i, t := range l.waiting {
		if t.start < l.waiting[first].start {
			first = i
		}
	}
	t := l.waiting[first]
	l.waiting = slices.Delete(l.waiting, first, first+1) // those that came earlier stay in front
	l.now = t.start
	t.given <- struct{}{}
}

// take takes n tokens. rate.Limiter.WaitN would sleep through a change of the
// limit, and refuse more tokens than the burst.
func take(ctx context.Context, l *rate.Limiter, n int) error {
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
