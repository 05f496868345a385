package departure

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// world is a guest between two hosts, with what can happen to either: libvirt and QEMU at the
// source as sluice finds them, the destination as it answers, and the departure's own State in
// between. All that it holds is compared, so that every world is looked at once.
type world struct {
	s State

	// The source.
	sluice  process
	over    bool // the departure is
	begun   bool // it was, once
	own     bool // sluice runs the steps itself, and libvirt resumes nothing without its Confirm
	journal bool
	kept    Verdict // in the journal
	qemu    struct{ ended, stopped, cont, term, runs bool }
	libvirt struct {
		up     bool
		word   Guest // what it says of the guest
		step   step
		giving bool // it has given the connection up, which is still to be closed
		open   bool // its connection with sluice
	}
	toCaller reply // on its way from sluice

	// The destination, and the way there.
	link      bool
	finish    bool // asked for, and not there yet
	there     there
	fromThere reply
	remembers bool // its sluice knows what became of the guest

	faults int // still to come
	struck bool
	quiet  bool // libvirtd was killed before it had begun to resume the guest
	parted bool // the way of Finish's answer is broken
}

type (
	process int
	step    int
	reply   int
	there   int
)

const (
	alive process = iota
	frozen
	dead
)

const (
	inFinish  step = iota // libvirt waits for Finish's answer
	resuming              // it has sent QEMU `cont`
	resumed               // QEMU has said that it did
	confirmed             // it has sent QEMU SIGTERM
	idle                  // it has done its part, or has been started again and knows of none
)

const (
	none reply = iota
	good
	bad
)

const (
	prepared there = iota
	finishing
	ran // it runs there, or has
	failed
)

func begin(faults int) world {
	w := world{link: true, remembers: true, faults: faults}
	w.libvirt.up, w.libvirt.open, w.libvirt.word = true, true, Paused
	w.s.Cleared = true
	return w
}

// next are all worlds that can follow, each with what has happened. decide is State.Next.
func (w world) next(decide func(State) Action) map[string]world {
	out := make(map[string]world)
	add := func(what string, change func(w *world)) {
		n := w
		change(&n)
		if n != w {
			out[what] = n
		}
	}
	fault := func(what string, change func(w *world)) {
		if w.faults > 0 {
			add(what, func(w *world) {
				w.faults--
				w.struck = true
				change(w)
			})
		}
	}

	// The source's sluice.
	if w.sluice == alive && !w.over {
		action := decide(w.s)
		add("sluice: "+action.String(), func(w *world) {
			w.begun = true
			w.act(action)
		})
		w.hear(add)
	}

	// The source's libvirtd.
	l := w.libvirt
	if l.up {
		if l.step == inFinish && l.open && w.struck { // its keepalive fails, at whatever moment
			add("libvirtd gives the connection up", func(w *world) { w.libvirt.giving = true })
		}
		if l.step == inFinish && !l.open && w.own {
			add("libvirtd forgets the migration", func(w *world) { w.libvirt.step = idle })
		}
		if l.step == inFinish && (l.giving || !l.open) && !w.own {
			add("libvirtd: cont", func(w *world) { w.libvirt.step, w.qemu.cont = resuming, true })
		}
		if l.giving {
			add("libvirtd closes", func(w *world) { w.libvirt.giving, w.libvirt.open = false, false })
		}
		if l.step == inFinish && l.open && !l.giving && w.toCaller == good {
			add("libvirtd confirms", func(w *world) { w.libvirt.step, w.toCaller, w.qemu.term = confirmed, none, true })
		}
		if l.step == inFinish && l.open && !l.giving && w.toCaller == bad {
			add("libvirtd is told no", func(w *world) { w.libvirt.step, w.toCaller, w.qemu.cont = resuming, none, true })
		}
		if l.step == resumed {
			add("libvirtd has resumed it", func(w *world) { w.libvirt.step, w.libvirt.word, w.libvirt.open = idle, Running, false })
		}
		if w.qemu.ended && (l.word != NotHere || l.open) {
			add("libvirtd sees QEMU's end", func(w *world) {
				w.libvirt.word, w.libvirt.step, w.libvirt.open, w.libvirt.giving = NotHere, idle, false, false
			})
		}
	} else {
		add("libvirtd starts", func(w *world) { w.libvirt.up = true })
	}

	// The source's QEMU.
	if q := w.qemu; !q.ended && !q.stopped {
		if q.cont {
			add("QEMU: cont", func(w *world) {
				w.qemu.cont, w.qemu.runs = false, true
				if w.libvirt.step == resuming {
					w.libvirt.step = resumed
				} else {
					w.libvirt.word = Running
				}
			})
		}
		if q.term {
			add("QEMU: SIGTERM", func(w *world) { w.qemu.ended, w.qemu.runs = true, false })
		}
	}

	// The destination.
	if w.finish && w.link && !w.parted {
		add("Finish arrives", func(w *world) { w.finish, w.there = false, finishing })
	}
	if w.there == finishing {
		add("it runs there", func(w *world) { w.there, w.fromThere = ran, good })
		add("it fails there", func(w *world) { w.there, w.fromThere = failed, bad })
	}

	// Faults, and what mends by itself after one.
	fault("the link breaks", func(w *world) { w.link, w.parted, w.fromThere = false, true, none })
	if !w.link {
		add("the link is back", func(w *world) { w.link = true })
	}
	if w.sluice != dead {
		fault("the source's sluice is killed", func(w *world) {
			w.sluice, w.s, w.parted, w.fromThere, w.toCaller = dead, State{}, true, none, none
			w.libvirt.open = false
		})
	}
	if w.sluice == alive {
		fault("the source's sluice freezes", func(w *world) { w.sluice = frozen })
	}
	if w.sluice == frozen {
		add("the source's sluice wakes", func(w *world) { w.sluice = alive })
	}
	if w.sluice == dead {
		add("the source's sluice starts", (*world).restart)
	}
	if l.up {
		fault("the source's libvirtd is killed", func(w *world) {
			w.quiet = w.libvirt.step == inFinish
			w.libvirt.up, w.libvirt.open, w.libvirt.giving, w.libvirt.step = false, false, false, idle
		})
	}
	if l.open {
		fault("the caller's connection breaks", func(w *world) { w.libvirt.giving = true })
	}
	fault("the destination's sluice is killed", func(w *world) {
		w.parted, w.fromThere, w.remembers, w.finish = true, none, w.there == ran, false
	})
	return out
}

// act does as a departure does.
func (w *world) act(a Action) {
	s := &w.s
	if !s.Asked && s.Verdict == Unknown && !w.journal {
		w.journal = true
		return
	}
	switch a {
	case SetFence:
		w.qemu.stopped, s.Fenced = true, true
	case LookAtCaller:
		if s.Looks++; !w.libvirt.open {
			s.Caller = Gone
		}
	case LookAtGuest:
		before := !s.Asked && s.Verdict == Unknown
		if before {
			s.Looks++
		}
		if !w.libvirt.up {
			if before {
				s.Guest = NotHere
			}
			return
		}
		s.Guest = w.libvirt.word
		if w.libvirt.giving { // its event loop has taken a turn
			w.libvirt.giving, w.libvirt.open = false, false
		}
	case Forward:
		w.finish, s.Asked, s.Guest = true, true, NotSeen
	case Refuse:
		w.decide(Absent)
	case Ask:
		w.parted, w.fromThere = true, none
		if !w.link {
			return
		}
		w.finish = false // its session is over there: it won't be asked for any more
		switch {
		case w.there == finishing:
		case w.there == ran:
			w.decide(Runs)
		case w.remembers:
			w.decide(Absent)
		}
	case Report:
		s.Reported = true
	case AnswerRuns:
		s.Caller, w.toCaller = Told, good
	case AnswerAbsent:
		s.Caller, w.toCaller = Told, bad
	case Lift:
		w.qemu.stopped, s.Fenced, s.Guest = false, false, NotSeen
	case Kill:
		w.qemu.ended, w.qemu.runs, s.Ended, s.Guest = true, false, true, NotSeen
	case Remove:
		if w.libvirt.up {
			w.qemu.ended, w.qemu.runs, w.libvirt.word = true, false, NotHere
		}
		s.Guest = NotSeen
	case Resume:
		if w.libvirt.up && w.libvirt.word == Paused {
			w.qemu.cont = true
		}
		s.Guest = NotSeen
	case Clear:
		s.Cleared = true
	case Done:
		w.over, w.journal = true, false
	}
}

func (w *world) decide(v Verdict) {
	if w.s.Verdict == Unknown {
		w.s.Verdict, w.s.Late, w.s.Guest, w.kept = v, false, NotSeen, v
	}
}

// hear is what a departure takes note of.
func (w world) hear(add func(string, func(*world))) {
	if !w.s.Asked && w.s.Verdict == Unknown {
		return
	}
	if w.fromThere == good && w.link {
		add("sluice hears that it runs there", func(w *world) {
			w.fromThere = none
			w.decide(Runs)
			if w.s.Caller == Waiting {
				w.s.Caller, w.toCaller = Told, good
			}
		})
	}
	if w.fromThere == bad && w.link {
		add("sluice hears that it fails there", func(w *world) { w.fromThere, w.s.Lost = none, true })
	}
	if w.parted && !w.s.Lost {
		add("sluice sees that the way is broken", func(w *world) { w.s.Lost = true })
	}
	if !w.libvirt.open && w.s.Caller != Gone {
		add("sluice sees that the caller has gone", func(w *world) { w.s.Caller, w.s.Lost = Gone, true })
	}
	if w.quiet && w.s.Fenced && w.s.Verdict == Unknown && w.s.Caller == Gone {
		add("sluice sees that libvirt leaves it paused", func(w *world) { w.s.Quiet = true })
	}
	if w.qemu.term && w.s.Fenced && !w.s.Ended {
		add("sluice sees SIGTERM", func(w *world) { w.s.Terminating = true })
	}
	if w.qemu.ended && !w.s.Ended {
		add("sluice sees QEMU's end", func(w *world) { w.s.Ended = true })
	}
	if w.s.Lost || w.s.Verdict != Unknown {
		add("time passes", func(w *world) { w.s.Late = true })
	}
	if w.s.Guest != NotSeen && (w.s.Verdict != Unknown || !w.s.Fenced) {
		add("sluice looks again", func(w *world) { w.s.Guest = NotSeen })
	}
	if w.s.Reported && w.s.Verdict == Unknown {
		add("an operator decides", func(w *world) {
			if w.there == ran {
				w.decide(Runs)
			} else if w.there != finishing && !w.finish {
				w.decide(Absent)
			}
		})
	}
}

// restart is another daemon, which goes on with the journal.
func (w *world) restart() {
	w.sluice = alive
	if w.over = !w.journal; w.over {
		return
	}
	w.s = State{Asked: true, Lost: true, Caller: Gone, Verdict: w.kept, Cleared: true, Ended: w.qemu.ended}
	w.s.Fenced = w.qemu.stopped && !w.qemu.ended
	w.s.NoFence = !w.s.Fenced
}

// broken says what is wrong in a world, if anything.
func (w world) broken() string {
	switch {
	case w.qemu.runs && w.there == ran:
		return "the guest runs on both hosts"
	case w.qemu.ended && w.there != ran:
		return "the guest is lost"
	}
	return ""
}

// settled says what is wrong where nothing more can happen, if anything.
func (w world) settled() string {
	switch here, away := w.qemu.runs, w.there == ran; {
	case !w.begun && !here && w.there == prepared:
		return "" // libvirt was killed after Perform, and leaves it paused; sluice had no part in that
	case here == away:
		return "the guest runs nowhere"
	case away && !w.qemu.ended:
		return "its copy is left at the source"
	case !w.over, w.journal:
		return "the departure is not over"
	}
	return ""
}

// explore looks at every world that can follow from the first: that nothing is wrong in it, and
// that it can still come to an end where all is settled. It returns how one comes about that is
// wrong.
func explore(first world, decide func(State) Action) (looked int, wrong string) {
	type from struct {
		world world
		by    string
	}
	came := map[world]from{first: {}}
	path := func(w world, what string) string {
		var lines []string
		for ; w != first; w = came[w].world {
			lines = append(lines, came[w].by)
		}
		slices.Reverse(lines)
		return strings.Join(append(lines, what), "\n  ")
	}
	before := make(map[world][]world)
	var ends []world
	queue := []world{first}
	for i := 0; i < len(queue); i++ {
		w := queue[i]
		if what := w.broken(); what != "" {
			return len(came), path(w, what)
		}
		following := w.next(decide)
		if len(following) == 0 {
			if what := w.settled(); what != "" {
				return len(came), path(w, fmt.Sprintf("%s, for good: %+v", what, w))
			}
			ends = append(ends, w)
		}
		for by, n := range following {
			before[n] = append(before[n], w)
			if _, seen := came[n]; !seen {
				came[n] = from{w, by}
				queue = append(queue, n)
			}
		}
	}
	settles := make(map[world]bool)
	for len(ends) > 0 {
		w := ends[len(ends)-1]
		ends = ends[:len(ends)-1]
		if !settles[w] {
			settles[w] = true
			ends = append(ends, before[w]...)
		}
	}
	for _, w := range queue {
		if !settles[w] {
			return len(came), path(w, fmt.Sprintf("it never settles: %+v", w))
		}
	}
	return len(came), ""
}

// Every interleaving of the steps of both libvirts, of sluice's own, and of two faults at any
// moments.
func TestEveryInterleaving(t *testing.T) {
	for faults := range 3 {
		for _, own := range []bool{false, true} {
			first := begin(faults)
			first.own, first.s.NoFence = own, own
			looked, wrong := explore(first, State.Next)
			t.Logf("%d faults, own steps %t: %d worlds", faults, own, looked)
			if wrong != "" {
				t.Errorf("with %d faults, own steps %t:\n  %s", faults, own, wrong)
			}
		}
	}
}

// The model finds what goes wrong without each part of the decision.
func TestModelFindsFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		decide func(State) Action
		want   string
	}{
		{"without a fence", func(s State) Action {
			s.NoFence = true
			return s.Next()
		}, "runs on both"},
		{"without a look at the caller", func(s State) Action {
			if a := s.Next(); !s.Asked && (a == LookAtCaller || a == LookAtGuest) {
				return Forward
			}
			return s.Next()
		}, "runs on both"},
		{"with one look at the caller alone", func(s State) Action {
			if !s.Asked && s.Fenced && s.Looks == 1 && s.Caller != Gone {
				return Forward
			}
			return s.Next()
		}, "runs on both"},
		{"lifting the fence when time is over", func(s State) Action {
			if s.Asked && s.Verdict == Unknown && s.Late && s.Fenced {
				return Lift
			}
			return s.Next()
		}, "runs on both"},
		{"killing when time is over", func(s State) Action {
			if s.Asked && s.Verdict == Unknown && s.Late && s.Fenced && !s.Ended {
				return Kill
			}
			return s.Next()
		}, "lost"},
		{"not resuming what was left paused", func(s State) Action {
			if a := s.Next(); a == Resume {
				return Done
			}
			return s.Next()
		}, "nowhere"},
		{"not watching for SIGTERM", func(s State) Action {
			if a := s.Next(); a == Kill {
				return Wait
			}
			return s.Next()
		}, "left at the source"},
	} {
		if _, wrong := explore(begin(1), c.decide); !strings.Contains(wrong, c.want) {
			t.Errorf("%s: the model finds %q", c.name, wrong)
		}
	}
}
