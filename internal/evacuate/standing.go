package evacuate

import (
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Standing is how far an evacuation is.
type Standing struct {
	Guests  []Row
	Percent float64       // of what there is to send
	Left    time.Duration // until all are settled, as far as Known
	Known   bool
}

// Row is one guest in it.
type Row struct {
	Guest    string
	To       string            // where it goes, or was tried last; empty: nowhere
	Outcome  string            // empty: it is not settled
	Moving   bool              // its migration is under way
	Progress *control.Progress // of that; nil: none
	Tries    []Try             // that have ended
	Doubted  bool              // its last try did not end well, and it is being found out where to go on
}

// Standing is as of now.
func (e *Evacuation) Standing() Standing {
	var s Standing
	var sent, all float64
	for _, m := range e.moves {
		r := Row{Guest: m.Name, Outcome: m.outcome, Moving: m.state == moving, Tries: m.tries}
		switch {
		case m.to != nil:
			r.To = m.to.name
		case len(m.tries) > 0:
			r.To = m.tries[len(m.tries)-1].To
		}
		part := 0.0
		switch {
		case m.state == settled:
			part = 1
		case m.state == moving:
			p := m.progress
			r.Progress, r.Doubted = &p, len(m.tries) == len(m.tried)
			part = p.Percent / 100
		}
		if m.outcome != Stayed {
			bytes := float64(max(m.cost.bytes, 1))
			sent, all = sent+part*bytes, all+bytes
		}
		s.Guests = append(s.Guests, r)
	}
	s.Percent = 100
	if all > 0 {
		s.Percent = 100 * sent / all
	}
	under, next, known := e.jobs()
	s.Left, s.Known = e.schedule(under, next), known
	return s
}
