package departure

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

// deep is for hundreds of thousands of worlds more.
var deep = flag.Bool("deep", false, "two faults of managed migrations, and of those whose guest is destroyed, too")

// Every interleaving of the steps of both libvirts, of a client's and of sluice's own, and of two
// faults at any moments. That the guest's user destroys it counts as one.
func TestEveryInterleaving(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]mover{"peer to peer": libvirtd, "managed": client, "own steps": ownSluice} {
		for events := range 3 {
			for _, destroys := range []bool{false, true} {
				first := begin(by, events)
				if first.destroys = destroys && events > 0; first.destroys {
					first.faults--
				}
				if destroys && (events == 0 || events == 2 && !*deep && by != ownSluice) || events == 2 && by == client && !*deep {
					continue
				}
				t.Run(fmt.Sprintf("%s, %d faults, destroyed %t", name, first.faults, destroys), func(t *testing.T) {
					t.Parallel()
					looked, wrong := explore(first, State.Next, world.settled)
					t.Logf("%d worlds", looked)
					if wrong != "" {
						t.Error(wrong)
					}
				})
			}
		}
	}
}

// Where nobody ever tells what became of the guest, nobody waits for that for ever, and libvirtd
// does not hang.
func TestNobodyWaitsForEver(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]mover{"peer to peer": libvirtd, "managed": client} {
		first := begin(by, 1)
		first.silent = true
		if _, wrong := explore(first, State.Next, world.nobodyWaits); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
		without := func(s State) Action {
			if a := s.Next(); a != Occupy {
				return a
			}
			return Ask
		}
		if _, wrong := explore(first, without, world.nobodyWaits); !strings.Contains(wrong, "never settles") {
			t.Errorf("%s: if libvirt is not kept from QEMU the model finds %q", name, wrong)
		}
		at := func(s State) Action { // the answer, and libvirt is free to resume
			if a := s.Next(); a != Occupy {
				return a
			}
			return AnswerUnknown
		}
		if _, wrong := explore(first, at, world.nobodyWaits); wrong == "" {
			t.Errorf("%s: if libvirt is told without that the model finds nothing", name)
		}
	}
}

// A destination's sluice that has noticed that its libvirt lost the guest refuses Finish, and so can
// tell. After a Finish that had failed for it nobody but an operator could.
func TestLostBeforeFinish(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]mover{"peer to peer": libvirtd, "managed": client, "own steps": ownSluice} {
		first := begin(by, 0)
		first.there, first.alone, first.noticed = gone, true, true
		if _, wrong := explore(first, State.Next, world.settled); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
		first.noticed = false
		if _, wrong := explore(first, State.Next, world.settled); !strings.Contains(wrong, "runs nowhere") {
			t.Errorf("%s: if nobody has noticed the model finds %q", name, wrong)
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
		{"letting QEMU go on before its end is certain", func(s State) Action {
			if s.Verdict == Runs && s.Fenced && !s.Ended && s.Caller == Told {
				return Release
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
		if _, wrong := explore(begin(libvirtd, 1), c.decide, world.settled); !strings.Contains(wrong, c.want) {
			t.Errorf("%s: the model finds %q", c.name, wrong)
		}
	}
}
