package converge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// What becomes of each guest with each means, on a link of 110 MiB/s.
func TestGuests(t *testing.T) {
	const most = 10 * time.Minute
	none, slow, postcopy, pause := Goal{}, Goal{Slow: true}, Goal{Postcopy: true}, Goal{Pause: true}
	deadline := Goal{Deadline: time.Minute}
	late := Goal{Deadline: time.Minute, Pause: true}
	for _, c := range []struct {
		guest string
		goal  Goal
		ended string        // empty: it goes on
		by    time.Duration // at the latest
		acts  int           // at the most
	}{
		{"idle", none, "moved", 6 * time.Second, 1},
		{"idle", deadline, "moved", 6 * time.Second, 1},
		{"uniform, below the link", none, "moved", 20 * time.Second, 3},
		{"uniform, above the link", none, "", most, 6},
		{"uniform, above the link", slow, "moved", 2 * time.Minute, 8},
		{"uniform, above the link", postcopy, "postcopy", time.Minute, 7},
		{"uniform, above the link", pause, "moved", time.Minute, 12},
		{"uniform, above the link", deadline, "abort", time.Minute, 7},
		{"uniform, above the link", late, "moved", time.Minute, 12},
		{"bursts", none, "moved", 2 * time.Minute, 7},
		{"bursts", pause, "moved", time.Minute, 12},
		{"a hot tenth", none, "", most, 6},
		{"a hot tenth", slow, "moved", 3 * time.Minute, 8},
		{"a hot tenth", postcopy, "postcopy", 20 * time.Second, 7},
		{"a hot tenth", pause, "moved", 20 * time.Second, 12},
		{"a hot tenth", deadline, "abort", time.Minute, 7},
		{"growing", none, "moved", 30 * time.Second, 7},
		{"growing", postcopy, "moved", 30 * time.Second, 7},
	} {
		for _, g := range guests {
			if g.name != c.guest {
				continue
			}
			c.goal.Downtime = 300 * time.Millisecond
			s := newSimulated(g, 110*mib, c.goal.Slow, 1)
			s.run(t, c.goal, most)
			if s.ended != c.ended || s.at > c.by || len(s.acts) > c.acts {
				t.Errorf("%s, %+v: want %q within %v by %d acts:\n%v", c.guest, c.goal, c.ended, c.by, c.acts, s)
			} else if testing.Verbose() {
				t.Logf("%s, %+v: %v", c.guest, c.goal, s)
			}
		}
	}
}

// Guests with four seconds' worth of memory that may be stopped for longer than the goal: one that
// changes it twice as fast as it gets through, all the time or for four of seven seconds, and one that
// changes a tenth of it. They have moved by a deadline, and stand still for less than all takes.
func TestPause(t *testing.T) {
	const link, memory = 110, 440
	above := func(time.Duration) (float64, float64) { return 2 * link * mib, memory * mib }
	hot := func(time.Duration) (float64, float64) { return 3000 * mib, memory / 10 * mib }
	busy := func(at time.Duration) (float64, float64) { // for a while, and with less than gets through
		if at < 8*time.Second {
			return link * 8 / 10 * mib, memory * mib
		}
		return 0, memory * mib
	}
	for _, c := range []struct {
		guest         string
		deadline      time.Duration
		longest, mean time.Duration // of the downtimes
	}{
		{"above", 15 * time.Second, 3 * time.Second, 3 * time.Second},
		{"above", time.Minute, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"above", 0, 3100 * time.Millisecond, 3 * time.Second},
		{"bursts", 15 * time.Second, 3500 * time.Millisecond, 2 * time.Second},
		{"bursts", time.Minute, 1600 * time.Millisecond, 900 * time.Millisecond},
		{"bursts", 0, 2500 * time.Millisecond, 1300 * time.Millisecond},
		{"a hot tenth", 15 * time.Second, 500 * time.Millisecond, 500 * time.Millisecond},
		{"a hot tenth", time.Minute, 500 * time.Millisecond, 500 * time.Millisecond},
		{"a hot tenth", 0, 500 * time.Millisecond, 500 * time.Millisecond},
		{"busy at first", 15 * time.Second, 300 * time.Millisecond, 300 * time.Millisecond}, // it needs no pause
	} {
		var sum time.Duration
		const phases = 10
		for i := range 2 * phases {
			phase := 7 * time.Second / phases * time.Duration(i/2)
			changes := map[string]func(time.Duration) (float64, float64){"above": above, "a hot tenth": hot, "busy at first": busy, "bursts": func(at time.Duration) (float64, float64) {
				if (at+phase)%(7*time.Second) < 4*time.Second {
					return above(at)
				}
				return 0, memory * mib
			}}
			s := newSimulated(guest{c.guest, memory, changes[c.guest]}, link*mib, false, uint64(i))
			s.inTurn = i%2 == 0
			s.run(t, Goal{Downtime: 300 * time.Millisecond, Deadline: c.deadline, Pause: true}, time.Minute)
			if s.ended != "moved" || s.downtime > c.longest || len(s.acts) > 12 {
				t.Errorf("%s, deadline %v, %v into a burst:\n%v", c.guest, c.deadline, phase, s)
			}
			sum += s.downtime / (2 * phases)
		}
		if t.Logf("%s, deadline %v: downtime %v", c.guest, c.deadline, sum); sum > c.mean {
			t.Errorf("%s, deadline %v: stopped for %v in the mean", c.guest, c.deadline, sum)
		}
	}
}

// Whatever the guest, the link and the goal: no act that is not allowed, the downtime limit grows in
// steps up to the goal, and with a deadline it is over by then.
func TestAllowed(t *testing.T) {
	ends := make(map[string]int)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		rate, within, period := float64(r.IntN(900)*mib), float64((1+r.IntN(255))*mib), time.Duration(1+r.IntN(20))*time.Second
		steady := r.IntN(2) == 0
		g := guest{fmt.Sprintf("seed %d", seed), 256, func(at time.Duration) (float64, float64) {
			if !steady && at%period < period/2 {
				return rate / 20, within
			}
			return rate, within
		}}
		goal := Goal{Downtime: time.Duration(1+r.IntN(1000)) * time.Millisecond, Slow: r.IntN(2) == 0, Postcopy: r.IntN(2) == 0, Pause: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			goal.Deadline = time.Duration(1+r.IntN(60)) * time.Second
		}
		s := newSimulated(g, float64((5+r.IntN(300))*mib), goal.Slow, seed)
		if s.run(t, goal, time.Minute); goal.Deadline > 0 && (s.ended == "" || s.at > goal.Deadline+look) {
			t.Errorf("%+v: %v", goal, s)
		}
		if t.Failed() {
			t.Fatalf("%s, %+v: %v", g.name, goal, s)
		}
		ends[s.ended]++
	}
	for _, end := range []string{"", "moved", "postcopy", "abort"} {
		if ends[end] < 3 {
			t.Errorf("of 200 guests %d end by %q", ends[end], end)
		}
	}
}

// Figures may be any: a counter may start anew, and a rate be nothing.
func TestAnyFigures(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		any := func() uint64 {
			if r.IntN(4) == 0 {
				return 0
			}
			return r.Uint64() >> r.IntN(64)
		}
		goal := Goal{Downtime: time.Duration(1+r.IntN(1000)) * time.Millisecond, Deadline: time.Duration(r.IntN(2)) * time.Hour}
		s := New(goal)
		var at, limit time.Duration
		for range 50 {
			at += time.Duration(r.IntN(int(time.Minute)))
			a := s.Step(Figures{At: at, Rate: any(), Most: any(), JobStats: virt.JobStats{Total: any(), Processed: any(), Remaining: any(), MemoryRemaining: any(),
				Iteration: uint64(r.IntN(9)), DirtyRate: any(), Throttle: any()}})
			if a.Do == Limit && (a.Downtime <= limit || a.Downtime > goal.Downtime) || a.Do == Postcopy || a.Do == Abort && goal.Deadline == 0 {
				t.Fatalf("seed %d, %+v: %+v", seed, goal, a)
			}
			if r.IntN(3) == 0 {
				continue // libvirt has refused it
			}
			if s.Did(a); a.Do == Limit {
				limit = a.Downtime
			}
		}
	}
}

// TestFewerPasses has figures that number the passes anew: that is no stall.
func TestFewerPasses(t *testing.T) {
	var p passes
	for _, n := range []uint64{2, 6, 1} {
		p.add(Figures{At: time.Minute * time.Duration(n), JobStats: virt.JobStats{Iteration: n, MemoryRemaining: mib << n}})
	}
	p.last.At = time.Hour
	if n := p.stalled(); n != 0 {
		t.Errorf("%d passes without a gain", n)
	}
}

// TestOneRaise has a guest that changes all of its memory in each pass, and asks more than once with
// the same figures: a limit beyond the goal is raised once for them.
func TestOneRaise(t *testing.T) {
	const memory, rate = 160 * mib, 40 * mib
	goal := Goal{Downtime: 300 * time.Millisecond, Deadline: 15 * time.Second, Pause: true}
	d := New(goal)
	var limit time.Duration
	for at := time.Duration(0); at < goal.Deadline-time.Second; at += look {
		sent := uint64(at.Seconds() * rate)
		f := Figures{At: at, Rate: rate, JobStats: virt.JobStats{
			Total: memory, Processed: sent, Remaining: memory - sent%memory, MemoryRemaining: memory - sent%memory,
			Iteration: 1 + sent/memory, DirtyRate: rate,
		}}
		raised := 0
		for range 20 {
			a := d.Step(f)
			if a.Do == Nothing {
				break
			}
			d.Did(a)
			if a.Do == Limit && a.Downtime > goal.Downtime {
				raised, limit = raised+1, a.Downtime
			}
		}
		if raised > 1 {
			t.Errorf("at %v the limit was raised %d times, to %v", at, raised, limit)
		}
	}
	if limit < 4*time.Second {
		t.Errorf("limit %v at the end, and a pass takes 4s", limit)
	}
}
