package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bulkFlows are n flows that always have something to send, until ctx ends.
func bulkFlows(t *testing.T, ctx context.Context, n int, by ...*Limiter) []*flow {
	flows := make([]*flow, n)
	for i := range flows {
		f := new(flow)
		f.limit(by, nil)
		flows[i] = f
		go func() {
			for {
				some, err := f.admit(ctx, f.piece(1<<20))
				if err != nil {
					return
				}
				f.count(some)
			}
		}()
	}
	return flows
}

// A flow that moves little doesn't wait, and one that moves more, but less than its part, waits for
// a turn or two, however many others there are. The clock is the bubble's.
func TestLittleBesideMuch(t *testing.T) {
	const limit = 100 << 20
	for _, n := range []int{1, 16, 64} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer synctest.Wait()
			defer cancel()
			session, total := NewLimiter(2*limit), NewLimiter(limit)
			bulk := bulkFlows(t, ctx, n, session, total)
			time.Sleep(time.Second)
			for _, c := range []struct {
				bytes int
				every time.Duration
				most  time.Duration
			}{
				{64, 100 * time.Microsecond, 0},
				{64 << 10, time.Duration(n+2) * time.Millisecond, 3 * pieceTime}, // 62 MiB/s divided by n+2
			} {
				f := new(flow)
				f.limit([]*Limiter{session, total}, nil)
				for range 1000 {
					began := time.Now()
					if _, err := f.admit(ctx, c.bytes); err != nil {
						t.Fatal(err)
					}
					if d := time.Since(began); d > c.most {
						t.Fatalf("%d bytes every %v waited %v beside %d", c.bytes, c.every, d, n)
					}
					time.Sleep(c.every)
				}
			}
			var before int64
			for _, f := range bulk {
				before += f.total.Load()
			}
			time.Sleep(10 * time.Second)
			least, most, sum := bulk[0].total.Load(), int64(0), -before
			for _, f := range bulk {
				least, most, sum = min(least, f.total.Load()), max(most, f.total.Load()), sum+f.total.Load()
			}
			if float64(most) > 1.02*float64(least) {
				t.Errorf("of %d equal flows one had %d bytes and one %d", n, least, most)
			}
			if perSecond := sum / 10; perSecond < limit*98/100 || perSecond > limit*101/100 {
				t.Errorf("%d flows had %d bytes a second of %d", n, perSecond, limit)
			}
		})
	}
}

// Many flows that move little, and together more than the limit, keep to it.
func TestBorrowingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 20
		ctx, cancel := context.WithCancel(t.Context())
		l := NewLimiter(limit)
		var wg sync.WaitGroup
		flows := make([]flow, 500)
		for i := range flows {
			f := &flows[i]
			f.limit([]*Limiter{l}, nil)
			wg.Go(func() {
				for ctx.Err() == nil {
					n, err := f.admit(ctx, 100)
					if err != nil {
						return
					}
					f.count(n)
					time.Sleep(20 * time.Millisecond) // 5,000 bytes a second: 500 of them twice the limit
				}
			})
		}
		time.Sleep(10 * time.Second)
		cancel()
		wg.Wait()
		var sum int64
		for i := range flows {
			sum += flows[i].total.Load()
		}
		if perSecond := sum / 10; perSecond > limit*11/10 || perSecond < limit*9/10 {
			t.Errorf("%d bytes a second of %d", perSecond, limit)
		}
	})
}

// Where there are so many flows that each moves little, those that read little at once, and might
// borrow, have no more than those that do not.
func TestManyFlowsAreEqual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, n = 32 << 20, 800
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		l := NewLimiter(limit)
		flows := bulkFlows(t, ctx, n/2, l)
		for range n / 2 {
			f := new(flow)
			f.limit([]*Limiter{l}, nil)
			flows = append(flows, f)
			go func() {
				for {
					some, err := f.admit(ctx, f.piece(8<<10))
					if err != nil {
						return
					}
					f.count(some)
				}
			}()
		}
		time.Sleep(20 * time.Second)
		least, most := flows[0].total.Load(), int64(0)
		for _, f := range flows {
			least, most = min(least, f.total.Load()), max(most, f.total.Load())
		}
		if most > 2*least {
			t.Errorf("of %d flows one had %d bytes and one %d", n, least, most)
		}
	})
}

// Who gives up while it waits leaves nobody waiting.
func TestTurnsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		l := NewLimiter(10 << 20)
		bulk := bulkFlows(t, ctx, 4, l)
		gone := errors.New("given up")
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				f := new(flow)
				f.limit([]*Limiter{l}, nil)
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for range 10 {
					ctx, cancel := context.WithCancelCause(ctx)
					stop := time.AfterFunc(time.Duration(r.IntN(int(5*time.Millisecond))), func() { cancel(gone) })
					if _, err := f.admit(ctx, f.piece(20_000)); err != nil && err != gone {
						t.Error(err)
					}
					stop.Stop()
					cancel(nil)
				}
			})
		}
		wg.Wait()
		before := bulk[0].total.Load()
		time.Sleep(time.Second)
		if bulk[0].total.Load() == before {
			t.Error("nobody has the turn any more")
		}
	})
}

func TestNewLimiter(t *testing.T) {
	for _, none := range []int64{0, -1} {
		if NewLimiter(none) != nil {
			t.Errorf("%d bytes per second is a limit", none)
		}
	}
	for rate, want := range map[int64]int{1: 16 << 10, 50 * 16 << 10: 16 << 10, 50*16<<10 + 50: 16<<10 + 1, 1 << 30: (1 << 30) / 50} {
		if got := NewLimiter(rate).bucket.Burst(); got != want {
			t.Errorf("%d bytes per second: a burst of %d, want %d", rate, got, want)
		}
	}
}
