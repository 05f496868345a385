package evacuate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// site is what a test has in place of hosts: what becomes of a guest's migration to each of them.
type site struct {
	becomes map[string]string // outcome, by "guest>host"; control.Moved if there is none
	refused map[string]error  // for that, in place of a result
	late    map[string]bool   // it is refused when it is cancelled
	phase   map[string]string // in which it is until it is cancelled, or let go
	lost    map[string]bool   // hosts that take no guests, once one has failed there
	away    map[string]bool   // guests that are not here any more
	found   map[string]string // outcomes of guests that nobody has told at first
	letGo   chan struct{}     // closed to have those end that are in a phase

	mu    sync.Mutex
	asked []string // "guest>host", in order
	most  map[string]int
	now   map[string]int
}

func (s *site) mover(told func(Event)) Mover {
	s.most, s.now = make(map[string]int), make(map[string]int)
	count := func(what string, n int) {
		s.now[what] += n
		s.most[what] = max(s.most[what], s.now[what])
	}
	return Mover{
		Migrate: func(ctx context.Context, cancel <-chan struct{}, uuid, to string, report func(control.Progress)) (*control.Result, error) {
			guest := strings.TrimPrefix(uuid, "uuid of ")
			key := guest + ">" + strings.TrimPrefix(to, "host-")
			s.mu.Lock()
			s.asked = append(s.asked, key)
			for _, what := range []string{"all", to, guest} {
				count(what, 1)
			}
			s.mu.Unlock()
			defer func() {
				s.mu.Lock()
				for _, what := range []string{"all", to, guest} {
					count(what, -1)
				}
				s.mu.Unlock()
			}()
			if err := s.refused[key]; err != nil {
				return nil, err
			}
			result := &control.Result{Outcome: control.Moved, Session: "of " + key, Guest: guest, Message: "the message of " + key}
			if o := s.becomes[key]; o != "" {
				result.Outcome = o
			}
			if p := s.phase[key]; p != "" {
				report(control.Progress{Phase: p, Percent: 50})
				select {
				case <-cancel:
					if s.late[key] {
						return nil, errors.New("open libvirt's socket: cancelled")
					}
					result.Outcome = control.Cancelled
				case <-s.letGo:
				case <-ctx.Done():
					return nil, fmt.Errorf("%w: %w", control.ErrNoResult, context.Cause(ctx))
				}
			}
			return result, nil
		},
		Here: func(_ context.Context, uuid string) (bool, error) {
			return !s.away[strings.TrimPrefix(uuid, "uuid of ")], nil
		},
		Became: func(_ context.Context, uuid, _ string, _ time.Time) (string, error) {
			if o := s.found[strings.TrimPrefix(uuid, "uuid of ")]; o != "" {
				return o, nil
			}
			return "", errors.New("nobody knows")
		},
		Lost: func(_ context.Context, host string) error {
			if s.lost[host] {
				return errors.New("nothing answers")
			}
			return nil
		},
		Told: told,
	}
}

// count counts the events that are the last of a guest, by its name.
func count(ends map[string]int) func(Event) {
	return func(e Event) {
		switch {
		case e.Result != nil && e.Next == "":
			ends[e.Guest]++
		case e.Guest != "" && ends[e.Guest] > 0:
			ends[e.Guest] = -1000 // it was not the last
		}
	}
}

// outcomes are those of a report, by guest.
func outcomes(r *Report) string {
	var words []string
	for _, g := range r.Guests {
		words = append(words, g.Guest+":"+g.Outcome)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func TestRun(t *testing.T) {
	three := []sketch{{name: "g1", need: 100}, {name: "g2", need: 100}, {name: "g3", need: 100}}
	free := map[string]uint64{"host-b": 1000, "host-c": 1000}
	refusal := &control.Error{Code: 400, Message: "there is no such guest"}
	for name, c := range map[string]struct {
		site     *site
		alone    bool // one at once only
		outcomes string
		worst    string
		asked    string // in order, with one at once
	}{
		"all go":                        {&site{}, false, "g1:moved g2:moved g3:moved", control.Moved, "g1>b g2>c g3>b"},
		"one fails, and goes elsewhere": {&site{becomes: map[string]string{"g1>b": control.Failed}}, false, "g1:moved g2:moved g3:moved", control.Moved, "g1>b g1>c g2>c g3>b"},
		"one fails everywhere": {&site{becomes: map[string]string{"g1>b": control.Failed, "g1>c": control.Failed}}, false,
			"g1:failed g2:moved g3:moved", control.Failed, "g1>b g1>c g2>c g3>b"},
		"nobody knows of one":                  {&site{becomes: map[string]string{"g2>c": control.Unknown}}, false, "g1:moved g2:unknown g3:moved", control.Unknown, "g1>b g2>c g3>b"},
		"an outcome of a newer daemon":         {&site{becomes: map[string]string{"g2>c": "split"}}, false, "g1:moved g2:split g3:moved", control.Unknown, "g1>b g2>c g3>b"},
		"the daemon goes away":                 {&site{refused: map[string]error{"g2>c": fmt.Errorf("%w: EOF", control.ErrNoResult)}}, false, "g1:moved g2:unknown g3:moved", control.Unknown, "g1>b g2>c g3>b"},
		"it has stayed, as is found out later": {&site{refused: map[string]error{"g2>c": fmt.Errorf("%w: EOF", control.ErrNoResult)}, found: map[string]string{"g2": control.Failed}}, false, "g1:moved g2:moved g3:moved", control.Moved, "g1>b g2>c g2>b g3>b"},
		"it has moved, as is found out later":  {&site{refused: map[string]error{"g2>c": fmt.Errorf("%w: EOF", control.ErrNoResult)}, found: map[string]string{"g2": control.Moved}}, false, "g1:moved g2:moved g3:moved", control.Moved, "g1>b g2>c g3>b"},
		"somebody cancels one":                 {&site{becomes: map[string]string{"g1>b": control.Cancelled}}, false, "g1:cancelled g2:moved g3:moved", control.Cancelled, "g1>b g2>c g3>b"},
		"one has gone by itself":               {&site{refused: map[string]error{"g1>b": refusal}, away: map[string]bool{"g1": true}}, false, "g1:gone g2:moved g3:moved", control.Moved, "g1>b g2>c g3>b"},
		"one ends on the way":                  {&site{becomes: map[string]string{"g1>b": control.Failed}, away: map[string]bool{"g1": true}}, false, "g1:failed g2:moved g3:moved", control.Failed, "g1>b g2>c g3>b"},
		"a host dies": {&site{becomes: map[string]string{"g1>b": control.Failed}, lost: map[string]bool{"host-b": true}}, false,
			"g1:moved g2:moved g3:moved", control.Moved, "g1>b g1>c g2>c g3>c"},
		"all hosts die": {&site{becomes: map[string]string{"g1>b": control.Failed, "g1>c": control.Failed}, lost: map[string]bool{"host-b": true, "host-c": true}}, true,
			"g1:failed g2:stayed g3:stayed", control.Failed, "g1>b g1>c"},
		"a host dies with a guest": {&site{becomes: map[string]string{"g1>b": control.Unknown}, lost: map[string]bool{"host-b": true}}, false,
			"g1:unknown g2:moved g3:moved", control.Unknown, "g1>b g2>c g3>c"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, parallel := range []int{1, 2, 16} {
				if c.alone && parallel > 1 {
					continue
				}
				c.site.asked = nil
				o := on(free, []string{"host-b", "host-c"}, three...)
				o.Parallel = parallel
				ends := make(map[string]int)
				r := New(o).Run(t.Context(), nil, c.site.mover(count(ends)))
				for _, g := range r.Guests {
					if ends[g.Guest] != 1 {
						t.Errorf("%d at once: %s has ended %d times", parallel, g.Guest, ends[g.Guest])
					}
				}
				if got := outcomes(r); got != c.outcomes || r.Outcome != c.worst {
					t.Errorf("%d at once: %s, %s; want %s, %s", parallel, got, r.Outcome, c.outcomes, c.worst)
				}
				if got := strings.Join(c.site.asked, " "); parallel == 1 && got != c.asked {
					t.Errorf("asked for %s, want %s", got, c.asked)
				}
				if c.site.most["all"] > parallel || c.site.most["g1"] > 1 {
					t.Errorf("%d at once: %v", parallel, c.site.most)
				}
				for i, one := range c.site.asked {
					if slices.Contains(c.site.asked[:i], one) {
						t.Errorf("%d at once: twice %s", parallel, one)
					}
				}
			}
		})
	}
}

// A host is not given more migrations at once than it has room for, and no guest that it has no memory
// for any more.
func TestRoom(t *testing.T) {
	o := on(map[string]uint64{"host-b": 150, "host-c": 400}, []string{"host-b", "host-c"}, sketch{name: "g1", need: 100}, sketch{name: "g2", need: 100}, sketch{name: "g3", need: 100}, sketch{name: "g4", need: 100})
	o.Parallel = 4
	for _, g := range o.Guests {
		for i := range g.Ways {
			g.Ways[i].Plan.Room = 1
		}
	}
	s := &site{becomes: map[string]string{"g1>c": control.Failed}}
	r := New(o).Run(t.Context(), nil, s.mover(func(Event) {}))
	if s.most["host-b"] > 1 || s.most["host-c"] > 1 {
		t.Errorf("at once: %v", s.most)
	}
	there := 0
	for _, a := range s.asked {
		if strings.HasSuffix(a, ">b") {
			there++
		}
	}
	if there > 1 || r.Count(control.Moved) != 3 && r.Count(control.Moved) != 4 {
		t.Errorf("asked for %v, and %s", s.asked, outcomes(r))
	}
}

// Ctrl-C: what the destination takes over goes on, the rest is cancelled, and nothing else begins.
func TestStop(t *testing.T) {
	o := on(map[string]uint64{"host-b": 1000}, []string{"host-b"}, sketch{name: "g1", need: 400}, sketch{name: "g2", need: 300}, sketch{name: "g3", need: 100})
	for _, late := range []bool{false, true} {
		stops(t, o, late)
	}
	stopped := make(chan struct{})
	close(stopped)
	s, ends := new(site), make(map[string]int)
	if got := outcomes(New(o).Run(t.Context(), stopped, s.mover(count(ends)))); got != "g1:cancelled g2:cancelled g3:cancelled" || len(s.asked) > 0 {
		t.Errorf("stopped before it has begun: %s, asked for %v", got, s.asked)
	}
	if fmt.Sprint(ends) != "map[g1:1 g2:1 g3:1]" {
		t.Errorf("stopped before it has begun: the last events are %v", ends)
	}
}

func stops(t *testing.T, o Options, late bool) {
	s := &site{phase: map[string]string{"g1>b": control.PhaseFinish, "g2>b": control.PhaseMemory}, late: map[string]bool{"g2>b": late}, letGo: make(chan struct{})}
	stop, reported := make(chan struct{}), 0
	ends := make(map[string]int)
	counted := count(ends)
	r := New(o).Run(t.Context(), stop, s.mover(func(e Event) {
		counted(e)
		switch {
		case e.Progress != nil && e.Progress.Percent == 50:
			if reported++; reported == 2 {
				close(stop)
			}
		case e.Result != nil && e.Guest == "g2":
			close(s.letGo)
		}
	}))
	if got := outcomes(r); got != "g1:moved g2:cancelled g3:cancelled" || r.Outcome != control.Cancelled {
		t.Errorf("%s, %s", got, r.Outcome)
	}
	if fmt.Sprint(ends) != "map[g1:1 g2:1 g3:1]" {
		t.Errorf("the last events are %v", ends)
	}
	if got := strings.Join(s.asked, " "); strings.Contains(got, "g3") {
		t.Errorf("asked for %s", got)
	}
}

// When nothing is waited for any more, what is under way is unknown.
func TestLeave(t *testing.T) {
	o := on(map[string]uint64{"host-b": 1000}, []string{"host-b"}, sketch{name: "g1", need: 400}, sketch{name: "g2", need: 300}, sketch{name: "g3", need: 100})
	s := &site{phase: map[string]string{"g1>b": control.PhaseFinish, "g2>b": control.PhaseFinish}, lost: map[string]bool{"host-b": true}}
	ctx, leave := context.WithCancel(t.Context())
	stop, reported := make(chan struct{}), 0
	r := New(o).Run(ctx, stop, s.mover(func(e Event) {
		if e.Host != "" {
			t.Errorf("%s was told to be lost: %s", e.Host, e.Lost)
		}
		if e.Progress != nil && e.Progress.Percent == 50 {
			if reported++; reported == 2 {
				close(stop)
				leave()
			}
		}
	}))
	if got := outcomes(r); r.Outcome != control.Unknown || !strings.HasPrefix(got, "g1:unknown g2:unknown g3:") {
		t.Errorf("%s, %s", got, r.Outcome)
	}
}

// The standing gets on, and comes to its end.
func TestStanding(t *testing.T) {
	o := on(map[string]uint64{"host-b": 1000}, []string{"host-b"}, sketch{name: "g1", need: 300}, sketch{name: "g2", need: 100})
	o.Parallel = 1
	s := &site{phase: map[string]string{"g1>b": control.PhaseMemory}, letGo: make(chan struct{})}
	e := New(o)
	first := e.Standing()
	if first.Percent != 0 || first.Left != e.Plan().Total || !first.Known {
		t.Errorf("at first: %+v", first)
	}
	e.Run(t.Context(), nil, s.mover(func(ev Event) {
		if ev.Progress != nil && ev.Progress.Percent == 50 {
			mid := e.Standing()
			if mid.Percent != 37.5 || mid.Left >= first.Left || mid.Left <= 0 || !mid.Guests[0].Moving || mid.Guests[1].Moving || mid.Guests[0].To != "host-b" {
				t.Errorf("in its midst: %+v", mid)
			}
			close(s.letGo)
		}
	}))
	if end := e.Standing(); end.Percent != 100 || end.Left != 0 || end.Guests[1].Outcome != control.Moved {
		t.Errorf("at the end: %+v", end)
	}
}
