package forecast

import (
	"math"
	"testing"
	"time"
)

const mib = 1 << 20

func near(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if math.Abs(got-want) > part*want {
		t.Errorf("%s is %.4g, want %.4g within %.0f %%", what, got, want, part*100)
	}
}

// What a guest changes in one and in three seconds says how much of it is hot, and how fast it
// changes that.
func TestFit(t *testing.T) {
	for name, d := range map[string]Dirt{
		"uniform, slow": {4096 * mib, 20 * mib},
		"uniform, fast": {1024 * mib, 400 * mib},
		"a hot tenth":   {100 * mib, 60 * mib},
	} {
		got := Fit(d.Hot*d.after(time.Second), d.Hot*d.after(3*time.Second), 4096*mib)
		near(t, name+": hot", got.Hot, d.Hot, 0.01)
		near(t, name+": rate", got.Rate, d.Rate, 0.01)
	}
	for name, c := range map[string]struct{ one, three, hot, rate float64 }{
		"idle":                    {0, 0, 0, 0},
		"all is hot at once":      {64 * mib, 64 * mib, 64 * mib, saturated * 64 * mib},
		"sampled lower than once": {64 * mib, 60 * mib, 64 * mib, saturated * 64 * mib},
		"a burst later":           {0, 30 * mib, 30 * mib, 10 * mib},
		"never the same place":    {10 * mib, 30 * mib, 1024 * mib, 10 * mib},
		"more than there is":      {2048 * mib, 4096 * mib, 1024 * mib, saturated * 1024 * mib},
	} {
		got := Fit(c.one, c.three, 1024*mib)
		near(t, name+": hot", got.Hot, c.hot, 0.001)
		near(t, name+": rate", got.Rate, c.rate, 0.01)
	}
}

func TestOf(t *testing.T) {
	path := Path{Rate: 100 * mib}
	for name, c := range map[string]struct {
		guest     Guest
		converges bool
		passes    int // at most
		total     float64
		part      float64
		downtime  [2]float64 // from and to
	}{
		"idle":                     {Guest{Memory: 1000 * mib}, true, 1, 11, 0.01, [2]float64{0.28, 0.341}},
		"disks before":             {Guest{Memory: 1000 * mib, Disks: 500 * mib}, true, 1, 16, 0.01, [2]float64{0.28, 0.341}},
		"a small hot part":         {Guest{Memory: 1000 * mib, Dirt: Dirt{8 * mib, 400 * mib}}, true, 4, 11.1, 0.02, [2]float64{0.2, 0.341}},
		"uniform below the rate":   {Guest{Memory: 1000 * mib, Dirt: Dirt{1000 * mib, 30 * mib}}, true, 8, 14.3, 0.1, [2]float64{0.2, 0.341}},
		"uniform above the rate":   {Guest{Memory: 1000 * mib, Dirt: Dirt{1000 * mib, 1200 * mib}}, false, maxPasses, 0, 0, [2]float64{0, 0}},
		"a hot part that is large": {Guest{Memory: 1000 * mib, Dirt: Dirt{60 * mib, 3000 * mib}}, false, maxPasses, 0, 0, [2]float64{0, 0}},
	} {
		f := Of(c.guest, path)
		if f.Converges != c.converges || f.Passes > c.passes {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		if !c.converges {
			if f.Left < 30*mib || f.Left > c.guest.Dirt.Hot {
				t.Errorf("%s: %g bytes are left", name, f.Left)
			}
			continue
		}
		near(t, name, f.Total.Seconds(), c.total, c.part)
		if d := f.Downtime.Seconds(); d < c.downtime[0] || d > c.downtime[1] {
			t.Errorf("%s: downtime %v", name, f.Downtime)
		}
	}
	far := path
	far.RoundTrip = 50 * time.Millisecond
	near, f := Of(Guest{Memory: 1000 * mib}, path), Of(Guest{Memory: 1000 * mib}, far)
	if f.Downtime-near.Downtime != 100*time.Millisecond || f.Total-near.Total != 600*time.Millisecond {
		t.Errorf("over a way of 50 ms: %+v, else %+v", f, near)
	}
	if f := Of(Guest{Memory: mib}, Path{}); f.Converges {
		t.Errorf("without a link: %+v", f)
	}
	for _, rate := range []float64{math.Inf(1), 1e-9, math.NaN()} { // it ends
		Of(Guest{Memory: 1000 * mib, Dirt: Dirt{1000 * mib, rate}}, path)
		Of(Guest{Memory: 1000 * mib}, Path{Rate: rate})
	}
}

// A guest that does not converge is moved by each of the means, the sooner the more it is stopped.
func TestMeans(t *testing.T) {
	path := Path{Rate: 100 * mib}
	g := Guest{Memory: 1000 * mib, Dirt: Dirt{300 * mib, 500 * mib}}
	slow, post, paused := Throttled(g, path), Postcopy(g, path), Paused(g, path)
	if Of(g, path).Converges || !slow.Converges || !post.Converges || !paused.Converges {
		t.Fatalf("%+v\n%+v\n%+v", slow, post, paused)
	}
	if post.Total > slow.Total || post.Downtime >= paused.Downtime {
		t.Errorf("%+v\n%+v\n%+v", slow, post, paused)
	}
	if d := paused.Downtime; d < time.Second || d > 3100*time.Millisecond { // all of the hot part takes three
		t.Errorf("paused for %v", d)
	}
	near(t, "post-copy until", post.Total.Seconds(), 14, 0.05)
	// A higher limit does for this one what the means do for others.
	if f := Of(Guest{Memory: 1000 * mib, Dirt: Dirt{60 * mib, 3000 * mib}}, Path{Rate: 100 * mib, Downtime: time.Second}); !f.Converges {
		t.Errorf("with a second of downtime: %+v", f)
	}
}

// TestSteps has a downtime limit that begins with a quarter: a guest that can do with that stands still
// for no longer, and one that can't has all of it.
func TestSteps(t *testing.T) {
	path := Path{Rate: 100 * mib, Downtime: 400 * time.Millisecond, Steps: 4}
	for _, c := range []struct {
		dirt     Dirt
		from, to float64
	}{
		{Dirt{}, 0.05, 0.15},
		{Dirt{1000 * mib, 30 * mib}, 0.05, 0.15},
		{Dirt{30 * mib, 3000 * mib}, 0.3, 0.45},
	} {
		if f := Of(Guest{Memory: 1000 * mib, Dirt: c.dirt}, path); !f.Converges || f.Downtime.Seconds() < c.from || f.Downtime.Seconds() > c.to {
			t.Errorf("%+v: %+v", c.dirt, f)
		}
	}
	if f := Of(Guest{Memory: 1000 * mib, Dirt: Dirt{60 * mib, 3000 * mib}}, path); f.Converges {
		t.Errorf("more than fits: %+v", f)
	}
}

// TestThrottle counts, as QEMU does, twice a second or more in which more than half of what got through
// was changed, for each step.
func TestThrottle(t *testing.T) {
	h, now := new(throttle), 0.0
	for i, want := range []float64{0, 0.2, 0.2, 0.3, 0.3, 0.3} {
		dirtied := 60.0
		if i == 5 {
			dirtied = 40
		}
		if now = h.after(500*time.Millisecond, dirtied/2, 50, now); now > 0 && i == 0 {
			t.Error("after half a second")
		}
		if now = h.after(500*time.Millisecond, dirtied/2, 50, now); math.Abs(now-want) > 1e-9 {
			t.Errorf("after %d periods %g of the guest's time is taken, want %g", i+1, now, want)
		}
	}
	path := Path{Rate: 100 * mib}
	hard, easy := Guest{Memory: 1000 * mib, Dirt: Dirt{1000 * mib, 300 * mib}}, Guest{Memory: 1000 * mib, Dirt: Dirt{1000 * mib, 300 * mib}, Busy: 0.4}
	if h, e := Throttled(hard, path), Throttled(easy, path); !h.Converges || !e.Converges || e.Throttle < h.Throttle+0.09 {
		t.Errorf("one that has work all the time: %+v; for two fifths of it: %+v", h, e)
	}
	g := Guest{Memory: 1000 * mib, Dirt: Dirt{1000 * mib, 30 * mib}}
	if f := Throttled(g, path); f.Throttle > 0 || f != Of(g, path) {
		t.Errorf("one that changes a third: %+v", f)
	}
}
