package session

import (
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// The rate is that of the last seconds, and does not depend on who looks.
func TestRate(t *testing.T) {
	var m rateMeter
	begun := time.Unix(1_700_000_000, 0)
	if got := m.at(begun, 5); got != 0 {
		t.Errorf("%d before anything was counted", got)
	}
	m.tick(begun, 0)
	if got := m.at(begun.Add(100*time.Millisecond), 3<<20); got != 30<<20 {
		t.Errorf("%d at the first look", got)
	}
	const perTick = 10 << 20
	at, n := begun, uint64(0)
	for range 20 {
		at, n = at.Add(tickInterval), n+perTick
		m.tick(at, n)
		m.at(at, n)
	}
	if got := m.at(at, n); got != 2*perTick {
		t.Errorf("%d while it is steady, want %d", got, 2*perTick)
	}
	if len(m.ticks) > int(rateWindow/tickInterval)+1 {
		t.Errorf("%d ticks are kept", len(m.ticks))
	}
	for range int(rateWindow/tickInterval) + 1 {
		at = at.Add(tickInterval)
		m.tick(at, n)
	}
	if got := m.at(at, n); got != 0 {
		t.Errorf("%d after it has stopped", got)
	}
}

// passes plays a pre-copy at rate, of a guest that changes what hot says of its memory before each
// pass, as libvirt would tell of it twice a second. It ends after limit, or once what is left goes
// through in 300 ms.
func passes(rate float64, all uint64, hot func(pass int) uint64, limit time.Duration) (stalledAt time.Duration, last convergence) {
	begun := time.Unix(1_700_000_000, 0)
	at, pass, left := time.Duration(0), uint64(1), float64(all)
	for next := time.Duration(0); at < limit; {
		took := time.Duration(left / rate * float64(time.Second))
		for ; next < at+took; next += tickInterval {
			done := (next - at).Seconds() * rate
			last.add(begun.Add(next), virt.JobStats{Iteration: pass, MemoryRemaining: uint64(left - done)})
			if last.stalled && stalledAt == 0 {
				stalledAt = next
			}
		}
		at += took
		pass++
		if left = float64(hot(int(pass))); left/rate < 0.3 {
			break
		}
	}
	return stalledAt, last
}

func TestConvergence(t *testing.T) {
	const mib = 1 << 20
	same := func(n uint64) func(int) uint64 { return func(int) uint64 { return n } }
	for _, c := range []struct {
		name    string
		rate    float64
		hot     func(int) uint64
		within  time.Duration // after the first pass; 0: never
		stalled bool          // at the end
	}{
		{"all of its memory", 100 * mib, same(1000 * mib), 35 * time.Second, true},
		{"a window of half a pass", 100 * mib, same(500 * mib), 20 * time.Second, true},
		{"a small window", 100 * mib, same(40 * mib), 15 * time.Second, true},
		{"less each time", 100 * mib, func(pass int) uint64 { return 1000 * mib >> (pass - 1) }, 0, false},
		{"a tenth less each time", 100 * mib, func(pass int) uint64 {
			n := 1000.0 * mib
			for range pass - 1 {
				n *= 0.85
			}
			return uint64(n)
		}, 0, false},
		{"calms down after a minute", 100 * mib, func(pass int) uint64 {
			if pass > 12 {
				return 500 * mib >> (pass - 12)
			}
			return 500 * mib
		}, 20 * time.Second, false},
	} {
		at, last := passes(c.rate, 1000*mib, c.hot, 3*time.Minute)
		if at -= 10 * time.Second; (at <= 0) != (c.within == 0) || at > c.within {
			t.Errorf("%s: told %v after the first pass, want within %v", c.name, at, c.within)
		}
		if last.stalled != c.stalled || (last.passes() > 0) != c.stalled {
			t.Errorf("%s: stalled %v for %d passes at the end", c.name, last.stalled, last.passes())
		}
	}
}

// An entry tells what libvirt says, and of a guest that gets nowhere no time at which it will end.
func TestProgress(t *testing.T) {
	r := NewRegistry(10, 10)
	e, err := r.Add(stream.Info{Work: WorkMigration, Guest: "web1", UUID: "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb"}, control.Outgoing)
	if err != nil {
		t.Fatal(err)
	}
	if p := e.Status().Progress; p == nil || p.Phase != control.PhaseConnect || p.Percent != 0 || p.ETA != 0 {
		t.Errorf("at first: %+v", p)
	}
	e.SetPhase(control.PhaseMemory)
	e.SetStats(virt.JobStats{Total: 1000, Remaining: 250, Disks: 500})
	if st := e.Status(); st.Phase != control.PhaseDisks || st.Progress.Phase != control.PhaseDisks || st.Progress.Percent != 75 {
		t.Errorf("disks: %+v, %+v", st, st.Progress)
	}
	e.SetStats(virt.JobStats{Total: 1000, Remaining: 100, Disks: 500, Iteration: 1})
	if st := e.Status(); st.Phase != control.PhaseMemory || st.Progress.Percent != 90 {
		t.Errorf("memory: %+v, %+v", st, st.Progress)
	}
	e.progress.convergence = convergence{stalled: true, from: 3, pass: 7}
	e.progress.stats.DirtyRate, e.progress.stats.Throttle = 42<<20, 20
	p := e.Progress()
	for _, words := range []string{"no progress over the last 4 passes", "42.0 MiB/s", "0 B/s get through", "--auto-converge takes 20 %", "--allow", "--bandwidth"} {
		if !strings.Contains(p.Stalled, words) {
			t.Errorf("%q does not say %q", p.Stalled, words)
		}
	}
	if p.ETA != 0 {
		t.Errorf("ETA %v", p.ETA)
	}
	// A peer's figures may be any.
	e.SetStats(virt.JobStats{Total: 1, Processed: 1 << 63, Remaining: 1<<64 - 1, DirtyRate: 1<<64 - 1, Iteration: 1<<64 - 1})
	if p := e.Progress(); p.Percent < 0 || p.Percent > 100 || p.ETA < 0 {
		t.Errorf("%+v", p)
	}
	r.End(e, control.Failed, stream.CodeLink, "")
	if _, ended, _ := r.Status(); ended[0].Progress != nil || ended[0].Rate != 0 {
		t.Errorf("ended: %+v", ended[0])
	}
}
