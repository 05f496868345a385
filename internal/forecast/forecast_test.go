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

// What a guest changes in one and in three seconds says how much of it is changed in every second, and
// what it comes to in a longer time.
func TestFit(t *testing.T) {
	for name, c := range map[string]struct{ one, three, again, tenth, ten float64 }{
		"idle":                    {0, 0, 0, 0, 0},
		"the same all the time":   {64 * mib, 64 * mib, 64 * mib, 64 * mib, 64 * mib},
		"sampled lower than once": {64 * mib, 60 * mib, 64 * mib, 64 * mib, 64 * mib},
		"a burst later":           {0, 30 * mib, 0, 1 * mib, 100 * mib},
		"never the same place":    {10 * mib, 30 * mib, 0, 1 * mib, 100 * mib},
		"more than once as much":  {10 * mib, 40 * mib, 0, 1 * mib, 100 * mib},
		"more than there is":      {2048 * mib, 4096 * mib, 1024 * mib, 1024 * mib, 1024 * mib},
		"a hot tenth, and others": {56 * mib, 78 * mib, 43 * mib, 44 * mib, 112 * mib},
		"twice what gets through": {224 * mib, 448 * mib, 101 * mib, 112 * mib, 957 * mib},
	} {
		got := Fit(c.one, c.three, 1024*mib)
		near(t, name+": again", got.Again(), c.again, 0.03)
		near(t, name+": known", Known(got.Second, got.Again(), got.Memory).Growth, got.Growth, 0.001)
		near(t, name+": in a tenth", got.in(0.1), c.tenth, 0.03)
		near(t, name+": in ten", got.in(10), c.ten, 0.03)
	}
	if d := Fit(20*mib, 60*mib, 1024*mib).Beside(20 * mib); d.Second > 0 {
		t.Errorf("beside what is new there is %+v", d)
	}
}

// uniform is a guest's that changes all of its memory at a rate, and hot one's that changes a part of it
// all the time.
func uniform(rate float64) Dirt { return Dirt{rate, 1, 1000 * mib} }
func hot(part float64) Dirt     { return Dirt{part, 0, 1000 * mib} }

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
		"idle":                     {Guest{Memory: 1000 * mib}, true, 1, 10.6, 0.01, [2]float64{0.28, 0.341}},
		"disks before":             {Guest{Memory: 1000 * mib, Disks: 500 * mib}, true, 1, 15.6, 0.01, [2]float64{0.28, 0.341}},
		"a small hot part":         {Guest{Memory: 1000 * mib, Dirt: hot(8 * mib)}, true, 4, 10.7, 0.02, [2]float64{0.2, 0.341}},
		"uniform below the rate":   {Guest{Memory: 1000 * mib, Dirt: uniform(30 * mib)}, true, 8, 14.3, 0.1, [2]float64{0.2, 0.341}},
		"uniform above the rate":   {Guest{Memory: 1000 * mib, Dirt: uniform(1200 * mib)}, false, maxPasses, 0, 0, [2]float64{0, 0}},
		"a hot part that is large": {Guest{Memory: 1000 * mib, Dirt: hot(60 * mib)}, false, maxPasses, 0, 0, [2]float64{0, 0}},
	} {
		f := Of(c.guest, path)
		if f.Converges != c.converges || f.Passes > c.passes {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		if !c.converges {
			if f.Left < 30*mib || f.Left > c.guest.Memory {
				t.Errorf("%s: %g bytes are left", name, f.Left)
			}
			continue
		}
		near(t, name, f.Total.Seconds(), c.total, c.part)
		if d := f.Downtime.Seconds(); d < c.downtime[0] || d > c.downtime[1] {
			t.Errorf("%s: downtime %v", name, f.Downtime)
		}
	}
	// One that uses a tenth of its memory at first, and 50 MiB/s more, sends twice as much in the first
	// pass, then as much as it has come to use in that, and all of it at last.
	grows := Of(Guest{Memory: 500 * mib, Grows: 50 * mib, Most: 1100 * mib, Dirt: Dirt{}}, path)
	near(t, "growing", grows.Sent, 1600*mib, 0.03)
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
		Of(Guest{Memory: 1000 * mib, Dirt: uniform(rate)}, path)
		Of(Guest{Memory: 1000 * mib}, Path{Rate: rate})
	}
}

// A guest that does not converge is moved by each of the means, the sooner the more it is stopped.
func TestMeans(t *testing.T) {
	path := Path{Rate: 100 * mib}
	g := Guest{Memory: 1000 * mib, Dirt: hot(150 * mib)}
	slow, post, paused := Throttled(g, path), Postcopy(g, path), Paused(g, path)
	if Of(g, path).Converges || !slow.Converges || !post.Converges || !paused.Converges {
		t.Fatalf("%+v\n%+v\n%+v", slow, post, paused)
	}
	if post.Total > slow.Total || post.Downtime >= paused.Downtime {
		t.Errorf("%+v\n%+v\n%+v", slow, post, paused)
	}
	if d := paused.Downtime; d < time.Second || d > 1600*time.Millisecond { // all of the hot part takes one and a half
		t.Errorf("paused for %v", d)
	}
	near(t, "post-copy until", post.Total.Seconds(), 12.1, 0.05)
	// A higher limit does for this one what the means do for others.
	if f := Of(Guest{Memory: 1000 * mib, Dirt: hot(60 * mib)}, Path{Rate: 100 * mib, Downtime: time.Second}); !f.Converges {
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
		{uniform(30 * mib), 0.05, 0.15},
		{hot(30 * mib), 0.3, 0.45},
	} {
		if f := Of(Guest{Memory: 1000 * mib, Dirt: c.dirt}, path); !f.Converges || f.Downtime.Seconds() < c.from || f.Downtime.Seconds() > c.to {
			t.Errorf("%+v: %+v", c.dirt, f)
		}
	}
	if f := Of(Guest{Memory: 1000 * mib, Dirt: hot(60 * mib)}, path); f.Converges {
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
	hard, easy := Guest{Memory: 1000 * mib, Dirt: uniform(300 * mib)}, Guest{Memory: 1000 * mib, Dirt: uniform(300 * mib), Busy: 0.4}
	if h, e := Throttled(hard, path), Throttled(easy, path); !h.Converges || !e.Converges || e.Throttle < h.Throttle+0.09 {
		t.Errorf("one that has work all the time: %+v; for two fifths of it: %+v", h, e)
	}
	g := Guest{Memory: 1000 * mib, Dirt: uniform(30 * mib)}
	if f := Throttled(g, path); f.Throttle > 0 || f != Of(g, path) {
		t.Errorf("one that changes a third: %+v", f)
	}
}

// TestMeasured has guests of the lab's as they were sampled, and what became of them: on a link of 1
// Gbit/s, with 448 MiB of memory, of which one has 896 and begins to use it.
func TestMeasured(t *testing.T) {
	path := Path{Rate: 107 * mib}
	for _, c := range []struct {
		name      string
		guest     Guest
		converges bool
		total     float64
		downtime  float64
		throttled bool
	}{
		{"idle", Guest{Memory: 448 * mib}, true, 4.8, 0.277, false},
		{"below", Guest{Memory: 448 * mib, Dirt: Fit(56*mib, 168*mib, 448*mib)}, true, 8.5, 0.356, false},
		{"above", Guest{Memory: 448 * mib, Dirt: Fit(224*mib, 448*mib, 448*mib)}, false, 0, 0, false},
		{"hot", Guest{Memory: 448 * mib, Dirt: Fit(56*mib, 78*mib, 448*mib)}, false, 0, 0, false},
		{"hot, slowed down", Guest{Memory: 448 * mib, Dirt: Fit(56*mib, 78*mib, 448*mib)}, true, 20.1, 0.29, true},
		{"growing", Guest{Memory: 416 * mib, Grows: 56 * mib, Most: 896 * mib}, true, 12.9, 0.284, false},
	} {
		of := Of
		if c.throttled {
			of = Throttled
		}
		f := of(c.guest, path)
		if f.Converges != c.converges {
			t.Errorf("%s: %+v", c.name, f)
		} else if c.converges {
			near(t, c.name+": total", f.Total.Seconds(), c.total, 0.3)
			near(t, c.name+": downtime", f.Downtime.Seconds(), c.downtime, 0.3)
		}
		t.Logf("%s: %+v", c.name, f)
	}
}
