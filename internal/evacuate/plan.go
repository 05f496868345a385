package evacuate

import (
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Plan is who goes where, before anything has begun.
type Plan struct {
	Source   string        `json:"source"`
	Parallel int           `json:"parallel"`
	Leaving  []Leaving     `json:"leaving"`            // in the order in which they begin
	Staying  []Staying     `json:"staying"`            // those that can't go
	Off      []string      `json:"off,omitempty"`      // guests that are only defined here
	Unusable []Reason      `json:"unusable,omitempty"` // of destinations that no guest can go to
	Total    time.Duration `json:"total_ns"`
	Known    bool          `json:"known"` // Total is that of all; else it takes longer, nobody knows by how much
}

// Leaving is a guest that goes.
type Leaving struct {
	Guest    string        `json:"guest"`
	UUID     string        `json:"uuid"`
	To       string        `json:"to"`
	Risk     string        `json:"risk,omitempty"`
	Send     uint64        `json:"send"`                  // bytes of memory and disks, over all passes where that is known
	Total    time.Duration `json:"total_ns,omitempty"`    // by itself; 0: not known
	Downtime time.Duration `json:"downtime_ns,omitempty"` // 0: not known

	Alone bool `json:"alone,omitempty"` // no other is sent meanwhile: it would not do with a part of the link

	Endless *control.Estimate    `json:"endless,omitempty"` // of a migration that does not end
	Goal    *control.PlannedGoal `json:"goal,omitempty"`    // of one that ends only by what may be done to the guest
}

// Staying is a guest that can't go.
type Staying struct {
	Guest   string   `json:"guest"`
	UUID    string   `json:"uuid"`
	Reasons []Reason `json:"reasons"`
}

// Plan is what was decided.
func (e *Evacuation) Plan() *Plan {
	p := &Plan{Source: e.Source, Parallel: e.Parallel, Off: e.Off, Unusable: e.Unusable, Leaving: []Leaving{}, Staying: []Staying{}}
	for _, m := range e.moves {
		if m.state == settled {
			p.Staying = append(p.Staying, Staying{m.Name, m.UUID, e.reasons(m)})
			continue
		}
		l := Leaving{Guest: m.Name, UUID: m.UUID, To: m.to.name, Risk: m.risk, Send: m.cost.bytes, Downtime: m.cost.downtime, Alone: m.atOnce == 1 && e.Parallel > 1, Endless: m.endless(), Goal: m.goal()}
		if m.ends() {
			l.Total = m.cost.fixed + m.sending()
		}
		p.Leaving = append(p.Leaving, l)
	}
	under, next, known := e.jobs()
	p.Total, p.Known = e.schedule(under, next), known
	return p
}
