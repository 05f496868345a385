package evacuate

import "time"

// work is how long one guest's move takes, in seconds.
type work struct {
	fixed float64 // for all but sending
	send  float64 // as if nothing else were sent at the same time
}

// pace is how fast guests move in this run: what was planned for those that have moved, and what they
// took. Those that are left are expected to differ from their plans alike.
type pace struct {
	planned, took work
	at            time.Time // when what is under way was looked at last
}

// tick gives those under way the time since it was called last. It is called before anything of them
// changes.
func (p *pace) tick(e *Evacuation) {
	now := time.Now()
	passed := now.Sub(p.at).Seconds()
	if p.at.IsZero() {
		passed = 0
	}
	p.at = now
	sending := 0.0
	for _, m := range e.moves {
		if m.sends() {
			sending++
		}
	}
	if e.Apart {
		sending = 1
	}
	for _, m := range e.moves {
		switch {
		case m.sends():
			m.took.send += passed / sending
		case m.state == moving:
			m.took.fixed += passed
		}
	}
}

// sends says whether memory or disks of a guest are being sent now.
func (m *move) sends() bool { return m.state == moving && sends(m.progress.Phase) }

// moved takes account of a guest that has moved. What one sends of which it was not known whether its
// migration ends says nothing of others.
func (p *pace) moved(m *move) {
	w := m.planned()
	p.planned.fixed += w.fixed
	p.took.fixed += m.took.fixed
	if m.ends() {
		p.planned.send += w.send
		p.took.send += m.took.send
	}
}

// planned is what was planned for a guest where it goes.
func (m *move) planned() work { return work{m.cost.fixed.Seconds(), m.sending().Seconds()} }

// part is how much of a guest that is under way has been sent, as a part of 1.
func (m *move) part() float64 { return max(0, min(1, m.progress.Percent/100)) }

// trusted is for how many seconds of sending the plans are believed: what small guests take says
// little of large ones.
const trusted = 5

// times are how many times as long as planned the guests take that are left, by those that have moved
// and by how fast those under way are sent, whatever these have sent again.
func (e *Evacuation) times() work {
	planned, took := e.pace.planned, e.pace.took
	for _, m := range e.moves {
		if m.state == moving && m.ends() && m.progress.Carried > 0 && m.cost.bytes > 0 {
			planned.send += m.planned().send * float64(m.progress.Carried) / float64(m.cost.bytes)
			took.send += m.took.send
		}
	}
	times := work{1, (took.send + trusted) / (planned.send + trusted)}
	if planned.fixed > 0 {
		times.fixed = took.fixed / planned.fixed
	}
	return times
}
