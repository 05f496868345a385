package relay

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// With n bytes of budget, n bytes pass and not one more.
func TestBudgetIsExact(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 16384, 16385, 300_000} {
		eachHop(t, func(t *testing.T, h hop) {
			// The stream is a byte too long for the sender's budget.
			sender := NewBudget(int64(n))
			c := h.start(t, Limits{Budget: sender})
			var wg sync.WaitGroup
			wg.Go(func() { c.app[0].Write(noise(n + 1)) })
			r := c.wait(t, 0)
			wantError(t, "over its budget", r, Here, ErrByteLimit)
			if r.Sent != int64(n) || sender.Left() != 0 || c.count[0].Sent.Load() != int64(n) {
				t.Errorf("sent %d, left %d, want %d, 0", r.Sent, sender.Left(), n)
			}
			wg.Wait()
			c.app[1].Close()
			c.cancel[1](nil)
			c.close(t)

			// The same at the receiver, where the bytes before the limit must come out.
			c = h.start(t, Limits{}, Limits{Budget: NewBudget(int64(n))})
			wg.Go(func() { c.app[0].Write(noise(n + 1)) })
			got, _ := io.ReadAll(c.app[1])
			if !bytes.Equal(got, noise(n + 1)[:len(got)]) || len(got) > n {
				t.Errorf("%d bytes came out, want at most %d, unchanged", len(got), n)
			}
			r = c.wait(t, 1)
			wantError(t, "receiver over its budget", r, Here, ErrByteLimit)
			if r.Received != int64(n) {
				t.Errorf("received %d, want %d", r.Received, n)
			}
			c.cancel[0](nil)
			wg.Wait()
			c.close(t)

			// Exactly within it.
			both := NewBudget(int64(2 * n))
			c = h.start(t, Limits{Budget: both})
			wg.Go(func() { writeAll(t, c.app[0], noise(n)); closeWriteOf(t, c.app[0]) })
			wg.Go(func() { writeAll(t, c.app[1], noise(n)); closeWriteOf(t, c.app[1]) })
			wg.Go(func() { expectEnd(t, c.app[0], noise(n)) })
			expectEnd(t, c.app[1], noise(n))
			wg.Wait()
			c.orderly(t, int64(n), int64(n))
			if both.Left() != 0 {
				t.Errorf("%d left of the budget", both.Left())
			}
		})
	}
}

func TestBudgetIsShared(t *testing.T) {
	b := NewBudget(1_000_000)
	var got [8]int
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			for n := b.take(7 + i); n > 0; n = b.take(7 + i) {
				got[i] += n
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range got {
		sum += n
	}
	if sum != 1_000_000 || b.Left() != 0 {
		t.Errorf("handed out %d, %d left", sum, b.Left())
	}
}

func bucket(limit rate.Limit, burst int) *Limiter {
	return &Limiter{bucket: rate.NewLimiter(limit, burst)}
}

// In the bubble the clock is exact.
func TestRate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits []*Limiter
		n      int
		want   time.Duration
	}{
		{"none", nil, 1 << 30, 0},
		{"infinite", []*Limiter{bucket(rate.Inf, 0)}, 1 << 30, 0},
		{"within the burst", []*Limiter{bucket(1000, 5000)}, 5000, 0},
		{"over the burst", []*Limiter{bucket(1000, 1000)}, 5000, 4 * time.Second},
		{"the slower of two", []*Limiter{bucket(1e6, 1000), bucket(1000, 1)}, 5001, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := new(flow)
				f.limit(tt.limits, nil)
				began := time.Now()
				for left := tt.n; left > 0; {
					n, err := f.admit(t.Context(), f.piece(left))
					if err != nil {
						t.Fatal(err)
					}
					left -= n
				}
				if d := time.Since(began); d < tt.want-debtTime || d > tt.want+10*time.Millisecond {
					t.Errorf("took %v, want %v", d, tt.want)
				}
			})
		})
	}
}

// A change of the limit ends a wait that was reckoned with the old one.
func TestRateChangesWhileWaiting(t *testing.T) {
	for _, stopped := range []*rate.Limiter{
		rate.NewLimiter(0, 1000), rate.NewLimiter(1, 1000), rate.NewLimiter(1e-12, 1000), rate.NewLimiter(1000, 0),
	} {
		synctest.Test(t, func(t *testing.T) {
			stopped.AllowN(time.Now(), stopped.Burst())
			done := make(chan error)
			go func() { done <- take(t.Context(), stopped, 1000) }()
			time.Sleep(10 * time.Minute / 1000) // the bubble's clock
			select {
			case err := <-done:
				t.Fatal("passed a closed limiter", err)
			default:
			}
			stopped.SetBurst(1000)
			stopped.SetLimit(1e6)
			began := time.Now()
			if err := <-done; err != nil || time.Since(began) > 2*recheck {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
}

func TestLimiterWaitEndsWithContext(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		closed := []*Limiter{bucket(0, 0)}
		c := h.start(t, Limits{Send: closed, Receive: closed})
		writeAll(t, c.app[0], []byte("never"))
		writeAll(t, c.app[1], []byte("never"))
		c.cancel[0](io.ErrNoProgress)
		wantError(t, "cancelled", c.wait(t, 0), Here, io.ErrNoProgress)
		if n := c.count[0].Sent.Load() + c.count[0].Received.Load(); n != 0 {
			t.Errorf("%d bytes passed", n)
		}
		c.cancel[1](nil)
		c.close(t)
	})
}

// On real sockets: the rate is kept, and a byte alone doesn't wait.
func TestRateOnTheWire(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		const bytesPerSecond, n = 4 << 20, 1 << 20
		const turns = 5 // no turn may be too fast; a busy machine makes some too slow
		for turn := 1; ; turn++ {
			l := NewLimiter(bytesPerSecond)
			c := h.start(t, Limits{Send: []*Limiter{l}})
			began := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() { writeAll(t, c.app[0], noise(n)) })
			expect(t, c.app[1], noise(n))
			wg.Wait()
			d, want := time.Since(began), time.Duration(float64(n-l.bucket.Burst())/bytesPerSecond*float64(time.Second))
			closeWriteOf(t, c.app[0])
			closeWriteOf(t, c.app[1])
			c.orderly(t, n, 0)
			if d < want*9/10 || d > 4*want && turn == turns {
				t.Errorf("%d bytes in %v, want %v", n, d, want)
			}
			if d <= 4*want || turn == turns {
				return
			}
		}
	})
}
