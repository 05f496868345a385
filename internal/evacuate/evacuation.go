package evacuate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/units"
)

// Parallel is how many guests move at once, and MaxParallel how many do at most: each takes one of
// libvirtd's workers here, of which there are 20 (max_workers), and others need some.
const (
	Parallel    = 2
	MaxParallel = 16
)

// Options are what an evacuation is of.
type Options struct {
	Source   string
	Hosts    []string // destinations, the preferred first
	Unusable []Reason // of those that no guest can go to
	Guests   []*Guest
	Off      []string // guests that are only defined here, by name: they are told, and not moved
	Parallel int      // guests at once; 0: Parallel
	// Usual is how long a migration has taken for all but sending so far; 0: not known.
	Usual time.Duration
	// Apart says that each migration has a limit of its own, so that those at once do not share what
	// gets through.
	Apart bool
}

// Evacuation is one of a host. Its methods are called from one goroutine, and by Mover.Told.
type Evacuation struct {
	Options
	hosts []*host
	moves []*move // those that go, the biggest risk first, and then those that can't
	pace  pace
}

// New decides who goes where.
func New(o Options) *Evacuation {
	o.Parallel = cmp.Or(o.Parallel, Parallel)
	e := &Evacuation{Options: o}
	for _, name := range o.Hosts {
		e.hosts = append(e.hosts, newHost(name))
	}
	for _, g := range o.Guests {
		m := &move{Guest: g}
		for _, w := range g.Ways {
			if h := e.host(w.Host); h != nil && w.refusals() == nil {
				m.ways = append(m.ways, w)
				h.heard(&w)
			}
		}
		e.moves = append(e.moves, m)
	}
	e.assign()
	slices.SortStableFunc(e.moves, func(a, b *move) int {
		if a.state != b.state {
			return cmp.Compare(a.state, b.state)
		}
		return byRisk(a, b)
	})
	return e
}

func (e *Evacuation) host(name string) *host {
	if i := slices.IndexFunc(e.hosts, func(h *host) bool { return h.name == name }); i >= 0 {
		return e.hosts[i]
	}
	return nil
}

// assign gives each guest its destination: first to those that have the fewest to choose from, then
// to the largest.
func (e *Evacuation) assign() {
	var order []*move
	for _, m := range e.moves {
		if len(m.ways) > 0 {
			m.measure(e.Usual)
			if m.atOnce = e.Parallel; !e.Apart {
				m.atOnce = m.bears(e.Parallel)
			}
			order = append(order, m)
			continue
		}
		m.stay()
	}
	slices.SortStableFunc(order, func(a, b *move) int {
		return cmp.Or(cmp.Compare(len(a.ways), len(b.ways)), cmp.Compare(needed(b), needed(a)), strings.Compare(a.Name, b.Name))
	})
	for _, m := range order {
		if !e.place(m) {
			m.stay()
		}
	}
}

func needed(m *move) uint64 {
	if p := m.ways[0].Plan.Memory; p != nil {
		return p.Needed
	}
	return 0
}

// place gives a guest the destination that is then the least full of those that are left to it.
func (e *Evacuation) place(m *move) bool {
	m.to = nil
	least := 0.0
	for _, h := range e.hosts {
		w := m.way(h)
		if w == nil || h.lost != "" || slices.Contains(m.tried, h) {
			continue
		}
		if full := h.full(w); full <= 1 && (m.to == nil || full < least || full == least && h.guests < m.to.guests) {
			m.to, least = h, full
		}
	}
	if m.to == nil {
		return false
	}
	m.to.take(m.way(m.to))
	return true
}

// leave takes a guest's destination from it.
func (m *move) leave() {
	if m.to != nil {
		m.to.leave(m.way(m.to))
		m.to = nil
	}
}

// stay is of a guest that can't go.
func (m *move) stay() {
	m.state, m.outcome, m.nowhere = settled, Stayed, true
}

// reasons are why the guest can't go, or can go nowhere else.
func (e *Evacuation) reasons(m *move) (why []Reason) {
	for _, w := range m.Ways {
		h := e.host(w.Host)
		switch refused := w.refusals(); {
		case refused != nil:
			for _, r := range refused {
				if !slices.Contains(why, r) { // those of this host are the same for each destination
					why = append(why, r)
				}
			}
		case slices.Contains(m.tried, h): // it is told what came of that
		case h.lost != "":
			why = append(why, Reason{Host: h.name, Text: h.lost})
		default:
			kind, remedy := "memory", "free some there"
			if page := w.Plan.Memory.HugePage; page > 0 {
				kind, remedy = "its huge pages of "+units.Size(page), "reserve more there (virsh allocpages)"
			}
			why = append(why, Reason{h.name, fmt.Sprintf("%s has %s of %s left once the other guests are there, and the guest may come to need %s", h.name, units.Size(h.left(&w)), kind, units.Size(w.Plan.Memory.Needed)),
				remedy + ", or name further hosts (--to)"})
		}
	}
	return why
}
