package converge

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/virt"
)

const (
	mib = 1 << 20
	// The simulated guest has chunks for pages.
	chunk = mib / 4
	tick  = 10 * time.Millisecond
	look  = 100 * time.Millisecond // between two looks at the figures
)

// A guest changes its memory, by chunks, so many in each tick.
type guest struct {
	name   string
	memory int // MiB
	// changes says how many bytes per second it changes at a moment, and within how much of its memory.
	changes func(at time.Duration) (rate, within float64)
}

var guests = []guest{
	{"idle", 512, func(time.Duration) (float64, float64) { return mib / 2, 4 * mib }},
	{"uniform, below the link", 512, func(time.Duration) (float64, float64) { return 60 * mib, 512 * mib }},
	{"uniform, above the link", 512, func(time.Duration) (float64, float64) { return 400 * mib, 512 * mib }},
	{"bursts", 512, func(at time.Duration) (float64, float64) {
		if at%(12*time.Second) < 7*time.Second {
			return 600 * mib, 256 * mib
		}
		return 20 * mib, 128 * mib
	}},
	{"a hot tenth", 512, func(time.Duration) (float64, float64) { return 3000 * mib, 51 * mib }},
	{"growing", 512, func(at time.Duration) (float64, float64) {
		return min(30+5*at.Seconds(), 400) * mib, 512 * mib
	}},
}

// simulated is QEMU with a guest and a link, as migration_iteration_run and migration_trigger_throttle
// (QEMU 7.2) have it.
type simulated struct {
	guest  guest
	rate   float64 // of the link, bytes per second
	slow   bool    // auto-converge
	inTurn bool    // the guest changes chunk after chunk, and not any
	rand   *rand.Rand

	at             time.Duration
	limit          time.Duration
	toSend, dirty  []bool
	left           int // of toSend
	next, cursor   int
	credit, owed   float64
	sent           uint64
	pass           uint64
	synced         time.Duration
	dirtied        uint64 // chunks changed since
	sentThen       uint64
	dirtyRate      uint64
	throttle, high int
	postcopy       bool

	ended    string // moved, postcopy or abort
	downtime time.Duration
	acts     []Act
}

func newSimulated(g guest, rate float64, slow bool, seed uint64) *simulated {
	n := g.memory * (mib / chunk)
	s := &simulated{guest: g, rate: rate, slow: slow, rand: rand.New(rand.NewPCG(seed, 1)), limit: 300 * time.Millisecond, toSend: make([]bool, n), dirty: make([]bool, n), pass: 1}
	for i := range s.toSend {
		s.toSend[i] = true
	}
	s.left = n
	return s
}

func (s *simulated) sync() {
	s.pass++
	for i, d := range s.dirty {
		if d && !s.toSend[i] {
			s.toSend[i] = true
			s.left++
		}
		s.dirty[i] = false
	}
	s.next = 0
	if period := s.at - s.synced; period >= time.Second {
		s.dirtyRate = uint64(float64(s.dirtied) * chunk / period.Seconds())
		if s.slow && s.dirtied*chunk > (s.sent-s.sentThen)/2 {
			if s.high++; s.high >= 2 {
				s.high, s.throttle = 0, min(99, max(20, s.throttle+10))
			}
		}
		s.synced, s.dirtied, s.sentThen = s.at, 0, s.sent
	}
}

func (s *simulated) pending() float64 { return float64(s.left) * chunk }

func (s *simulated) step() {
	s.at += tick
	rate, within := s.guest.changes(s.at)
	s.owed += rate * (1 - float64(s.throttle)/100) * tick.Seconds() / chunk
	for ; s.owed >= 1; s.owed-- {
		i := s.rand.IntN(max(1, int(within/chunk)))
		if s.inTurn {
			i = s.cursor
			s.cursor = (i + 1) % max(1, int(within/chunk))
		}
		if !s.dirty[i] {
			s.dirty[i] = true
			s.dirtied++
		}
	}
	if s.postcopy {
		s.ended, s.downtime = "postcopy", 50*time.Millisecond
		return
	}
	fits := s.rate * s.limit.Seconds()
	if s.pending() < fits {
		if s.sync(); s.pending() < fits {
			s.ended, s.downtime = "moved", time.Duration(s.pending()/s.rate*float64(time.Second))
			return
		}
	}
	for s.credit += s.rate * tick.Seconds() / chunk; s.credit >= 1 && s.left > 0; s.credit-- {
		for !s.toSend[s.next] {
			s.next = (s.next + 1) % len(s.toSend)
		}
		s.toSend[s.next] = false
		s.left--
		s.sent += chunk
	}
}

func (s *simulated) figures() Figures {
	left := uint64(s.left) * chunk
	return Figures{At: s.at, Rate: uint64(s.rate), JobStats: virt.JobStats{
		Total: uint64(s.guest.memory) * mib, Processed: s.sent, Remaining: left, MemoryRemaining: left,
		Iteration: s.pass, DirtyRate: s.dirtyRate, Throttle: uint64(s.throttle)}}
}

// run lets a migration be decided about until its end, for a time at the most, and checks each act.
func (s *simulated) run(t *testing.T, g Goal, most time.Duration) {
	t.Helper()
	d := New(g)
	var last time.Duration // downtime limit
	for s.ended == "" && s.at < most {
		s.step()
		if s.ended != "" || s.at%look != 0 {
			continue
		}
		for s.ended == "" && s.act(t, g, d, &last) {
		}
	}
	if s.ended == "moved" && s.downtime > last {
		t.Errorf("a downtime of %v with a limit of %v", s.downtime, last)
	}
}

// act does what is due, and says whether there may be more.
func (s *simulated) act(t *testing.T, g Goal, d *Decider, last *time.Duration) bool {
	t.Helper()
	a := d.Step(s.figures())
	if a.Do == Nothing {
		return false
	}
	s.acts = append(s.acts, a)
	d.Did(a)
	if a.Why == "" || strings.Contains(a.Why, "%!") {
		t.Errorf("an act without a reason: %+v", a)
	}
	switch a.Do {
	case Limit:
		if a.Downtime <= *last || a.Downtime < time.Millisecond {
			t.Errorf("the downtime limit goes from %v to %v", *last, a.Downtime)
		}
		if a.Downtime > g.Downtime && !g.Pause {
			t.Errorf("the downtime limit is %v, beyond the goal of %v: %s", a.Downtime, g.Downtime, a.Why)
		}
		*last, s.limit = a.Downtime, a.Downtime
	case Postcopy:
		if !g.Postcopy {
			t.Errorf("post-copy is not allowed: %s", a.Why)
		}
		s.postcopy = true
	case Abort:
		if g.Deadline == 0 || s.at < g.Deadline && !strings.Contains(a.Why, "can't be met") {
			t.Errorf("aborted after %v: %s", s.at, a.Why)
		}
		s.ended = "abort"
	}
	return true
}

func (s *simulated) String() string {
	text := fmt.Sprintf("%s after %v, downtime %v, pass %d, throttle %d", s.ended, s.at, s.downtime.Round(time.Millisecond), s.pass, s.throttle)
	for _, a := range s.acts {
		text += "\n  " + a.Why
	}
	return text
}
