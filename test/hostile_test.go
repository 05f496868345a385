package test

import (
	"context"
	"flag"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// everyAttack has TestHostile try all of them; otherwise it is one of each kind of attacker's.
var everyAttack = flag.Bool("attacks", false, "have TestHostile try every attack")

const (
	// attackedLink bounds the link, and so the copy, in bytes per second: far below what two
	// processors carry, which others use too.
	attackedLink = 16 << 20
	// turns are how often a migration may be measured: its best counts.
	turns = 5
	// attackRate is how many connections an attacker makes a second, and floodPause what it leaves
	// between 488 records. What they cost the attacker comes off the same processors.
	attackRate = 50
	floodPause = 25 * time.Millisecond
	// attackedMemory is what a daemon under attack may hold, in KiB: limits.peer_memory, as much again
	// until Go's collector has run, and connections.
	attackedMemory = 288 << 10
)

// Whatever strangers and other peers do to a daemon, an honest migration to it or from it goes at
// no less than half its speed meanwhile, at the limits' defaults, and nothing of the attack is left.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 20*time.Minute)
	s.daemon = s.command // speed is measured
	a := s.start(s.A, conf{limits: "idle_timeout = '30s'\n"})
	b := s.start(s.B, conf{limits: "idle_timeout = '30s'\n", peers: "[peers.host-a]\n" + attackers})
	g := s.guest(lab.GuestSpec{})
	s.check(s.SlowLink(attackedLink))

	from, to := a, b
	move := func(began func(session string)) (bytesPerSecond float64) {
		m := from.migrate(g.Name)
		m.halfway()
		for _, e := range from.status().Sessions {
			if e.Guest == g.Name {
				began(e.ID)
			}
		}
		m.want(control.Moved, 0)
		s.check(s.CheckOnlyOn(s.ctx, g, to.host))
		from, to = to, from
		return copySpeed(m)
	}
	alone := move(func(string) {})
	t.Logf("alone: %.1f MiB/s", alone/(1<<20))
	for _, x := range attacks {
		if !x.sample && !*everyAttack {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			best := 0.0
			for turn := 0; turn < turns && best < alone/2; turn++ {
				under := s.attack(x)
				best = max(best, move(under.live))
				kib := b.resident()
				did := under.stop(t)
				t.Logf("%d times, %.1f MiB/s, %d KiB", did, best/(1<<20), kib)
				if did == 0 {
					t.Error("nothing was attacked")
				}
				if kib > attackedMemory {
					t.Errorf("%d KiB are held", kib)
				}
			}
			if best < alone/2 {
				t.Errorf("memory is copied at %.1f MiB/s, and at %.1f without the attack", best/(1<<20), alone/(1<<20))
			}
			s.nothingLeft()
		})
	}
	s.check(s.CheckOnlyOn(s.ctx, g, from.host))
}

// copySpeed is how fast memory went while it did.
func copySpeed(m *migration) float64 {
	var first, last control.Progress
	for _, p := range m.events.Progress() {
		if p.Phase != control.PhaseMemory || p.Carried == 0 {
			continue
		}
		if first.Carried == 0 {
			first = p
		}
		last = p
	}
	if last.Elapsed == first.Elapsed {
		m.s.t.Fatalf("the copy is over too soon to be measured: %+v", m.events.Progress())
	}
	return float64(last.Carried-first.Carried) / (last.Elapsed - first.Elapsed).Seconds()
}

// underAttack is an attack that goes on.
type underAttack struct {
	end  context.CancelFunc
	done sync.WaitGroup
	n    atomic.Int64
	err  chan error
	id   atomic.Value // of the honest session, once there is one
}

// attack begins one.
func (s *site) attack(x attack) *underAttack {
	o := s.outsider(x.as)
	o.inside, o.pace = true, rate.NewLimiter(attackRate, 1)
	ctx, end := context.WithCancel(s.ctx)
	u := &underAttack{end: end, err: make(chan error, x.workers)}
	u.id.Store("")
	for range x.workers {
		u.done.Go(func() {
			for ctx.Err() == nil {
				n, err := x.once(ctx, o, u.id.Load().(string))
				u.n.Add(int64(n))
				if err != nil && ctx.Err() == nil {
					u.err <- err
					return
				}
			}
		})
	}
	return u
}

func (u *underAttack) live(session string) { u.id.Store(session) }

// stop ends it, and returns how often it was done.
func (u *underAttack) stop(t *testing.T) int64 {
	t.Helper()
	u.end()
	u.done.Wait()
	select {
	case err := <-u.err:
		t.Error(err)
	default:
	}
	return u.n.Load()
}
