package evacuate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

const mib = 1 << 20

// sketch is a guest as a test has it.
type sketch struct {
	name   string
	need   uint64 // MiB
	send   uint64 // MiB; 0: as much as it needs
	risk   string
	hot    uint64            // MiB that it changes all the time, as fast as 50 times a second
	huge   uint64            // size of pages
	not    map[string]string // hosts that it can't go to, and why
	unsaid bool              // hosts do not say what they have free
}

// on plans the sketches for hosts with so much free memory, in MiB. What gets through is 100 MiB/s.
func on(free map[string]uint64, hosts []string, sketches ...sketch) Options {
	o := Options{Source: "host-a", Hosts: hosts}
	for _, s := range sketches {
		g := &Guest{Name: s.name, UUID: "uuid of " + s.name}
		for _, h := range hosts {
			p := &control.Plan{Guest: s.name, Destination: h, Possible: true, Room: 10, Memory: &control.PlannedMemory{Needed: s.need * mib, HugePage: s.huge, Free: free[h] * mib, Known: !s.unsaid}}
			if why, is := s.not[h]; is {
				p.Possible = false
				p.Findings = []control.Finding{{Peer: h, Result: control.ResultError, Text: why}}
			}
			send := s.send
			if send == 0 {
				send = s.need
			}
			p.Estimate = &control.Estimate{Memory: s.need * mib, HotMemory: s.hot * mib, DirtyRate: s.hot * mib, LinkRate: 100 * mib}
			switch s.risk {
			case RiskNone:
				p.Estimate.Outlook = &control.Outlook{Converges: true, Sent: send * mib, Total: time.Second + time.Duration(send)*10*time.Millisecond}
			case RiskEndless:
				p.Estimate.Outlook = &control.Outlook{Remaining: 10 * mib}
			case RiskMeans:
				p.Estimate.Outlook = &control.Outlook{Converges: true, Sent: send * mib, Total: time.Second}
				p.Estimate.Goal = &control.PlannedGoal{Ends: control.AllowPostCopy}
			}
			g.Ways = append(g.Ways, Way{Host: h, Plan: p})
		}
		o.Guests = append(o.Guests, g)
	}
	return o
}

// order is who goes where, in their order, and who stays.
func order(p *Plan) string {
	var words []string
	for _, l := range p.Leaving {
		words = append(words, l.Guest+">"+strings.TrimPrefix(l.To, "host-"))
	}
	for _, s := range p.Staying {
		words = append(words, s.Guest+"!")
	}
	return strings.Join(words, " ")
}

func TestPlan(t *testing.T) {
	both := []string{"host-b", "host-c"}
	for name, c := range map[string]struct {
		options Options
		order   string
	}{
		"the biggest risk first": {on(map[string]uint64{"host-b": 10000}, both[:1],
			sketch{name: "small", need: 100}, sketch{name: "busy", need: 100, risk: RiskEndless}, sketch{name: "large", need: 200},
			sketch{name: "strange", need: 100, risk: RiskUnknown}, sketch{name: "dirty", need: 100, send: 300}, sketch{name: "steered", need: 100, risk: RiskMeans}), "busy>b strange>b steered>b dirty>b large>b small>b"},
		"no destination is filled more than it has": {on(map[string]uint64{"host-b": 250, "host-c": 100}, both,
			sketch{name: "g1", need: 100}, sketch{name: "g2", need: 100}, sketch{name: "g3", need: 100}, sketch{name: "g4", need: 100}), "g1>b g2>b g3>c g4!"},
		"those with one way first": {on(map[string]uint64{"host-b": 100, "host-c": 100}, both,
			sketch{name: "g1", need: 100}, sketch{name: "g2", need: 100, not: map[string]string{"host-c": "no network"}}), "g1>c g2>b"},
		"shared alike": {on(map[string]uint64{"host-b": 1000, "host-c": 1000}, both,
			sketch{name: "g1", need: 100}, sketch{name: "g2", need: 100}, sketch{name: "g3", need: 100}, sketch{name: "g4", need: 100}), "g1>b g2>c g3>b g4>c"},
		"nobody says what is free": {on(nil, both,
			sketch{name: "g1", need: 100, unsaid: true}, sketch{name: "g2", need: 100, unsaid: true}), "g1>b g2>c"},
		"one that is full": {on(map[string]uint64{"host-c": 200}, both,
			sketch{name: "g1", need: 100}, sketch{name: "g2", need: 100}), "g1>c g2>c"},
		"huge pages are others": {on(map[string]uint64{"host-b": 150}, both[:1],
			sketch{name: "g1", need: 100}, sketch{name: "g2", need: 100, huge: 2 * mib}, sketch{name: "g3", need: 100, huge: 2 * mib}), "g1>b g2>b g3!"},
		"nowhere to go": {on(map[string]uint64{"host-b": 1000}, both[:1],
			sketch{name: "g1", need: 100, not: map[string]string{"host-b": "no CPU"}}), "g1!"},
	} {
		p := New(c.options).Plan()
		if got := order(p); got != c.order {
			t.Errorf("%s: %s, want %s", name, got, c.order)
		}
		for _, s := range p.Staying {
			if len(s.Reasons) == 0 || s.Reasons[0].Text == "" {
				t.Errorf("%s: %s stays without a reason", name, s.Guest)
			}
		}
	}
}

// Every reason is told once; that sessions of others take all places is none.
func TestReasons(t *testing.T) {
	here := control.Finding{Result: control.ResultError, Text: "snapshots", Remedy: "delete them"}
	g := &Guest{Name: "g", Ways: []Way{
		{Host: "host-b", Plan: &control.Plan{Findings: []control.Finding{here, {Peer: "host-b", Result: control.ResultError, Text: "no CPU"}}}},
		{Host: "host-c", Plan: &control.Plan{Findings: []control.Finding{here, {Peer: "host-c", Result: control.ResultWarning, Text: "slow"}}}},
		{Host: "host-d", Err: errors.New("no answer")},
	}}
	e := New(Options{Hosts: []string{"host-b", "host-c", "host-d"}, Guests: []*Guest{g}})
	want := []Reason{{"", "snapshots", "delete them"}, {"host-b", "no CPU", ""}, {"host-d", "no answer", ""}}
	if got := e.Plan().Staying; len(got) != 1 || fmt.Sprint(got[0].Reasons) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	g.Ways = []Way{{Host: "host-b", Plan: &control.Plan{Findings: []control.Finding{{Peer: "host-b", Result: control.ResultError, Code: "sessions", Text: "limit reached"}}}}}
	if p := New(Options{Hosts: []string{"host-b"}, Guests: []*Guest{g}}).Plan(); len(p.Leaving) != 1 {
		t.Errorf("a host whose places are taken for now: %+v", p)
	}
}

// Those at once share the link; the rest of a move is not the link's.
func TestTotal(t *testing.T) {
	free := map[string]uint64{"host-b": 100000}
	guests := func(n int, send uint64) (all []sketch) {
		for i := range n {
			all = append(all, sketch{name: fmt.Sprintf("g%d", i), need: send})
		}
		return all
	}
	for name, c := range map[string]struct {
		n        int
		send     uint64
		parallel int
		room     int
		apart    bool
		want     time.Duration
	}{
		"one":               {1, 1000, 1, 10, false, 11 * time.Second},
		"one by one":        {4, 1000, 1, 10, false, 44 * time.Second},
		"two at once":       {4, 1000, 2, 10, false, 42 * time.Second},
		"with room for one": {4, 1000, 2, 1, false, 44 * time.Second},
		"nothing is shared": {4, 1000, 2, 10, true, 22 * time.Second},
		"nothing to send":   {4, 0, 2, 10, false, 2 * time.Second},
	} {
		o := on(free, []string{"host-b"}, guests(c.n, c.send)...)
		o.Parallel, o.Apart = c.parallel, c.apart
		for _, g := range o.Guests {
			g.Ways[0].Plan.Room = c.room
		}
		p := New(o).Plan()
		if d := p.Total - c.want; d.Abs() > 10*time.Millisecond || !p.Known {
			t.Errorf("%s: %v, want %v; known %t", name, p.Total, c.want, p.Known)
		}
	}
	o := on(free, []string{"host-b"}, sketch{name: "g", need: 10000})
	o.Guests[0].Ways[0].Plan.Estimate.LinkRate = 1
	if p := New(o).Plan(); p.Total < 300*365*time.Hour {
		t.Errorf("hardly anything gets through: %v", p.Total)
	}
	p := New(on(free, []string{"host-b"}, sketch{name: "g", need: 1000}, sketch{name: "busy", need: 1000, risk: RiskEndless})).Plan()
	if p.Known || p.Total < 20*time.Second || p.Leaving[0].Endless == nil || p.Leaving[0].Total != 0 {
		t.Errorf("with one that does not end: %+v", p)
	}
}
