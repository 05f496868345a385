package evacuate

import (
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Outcomes of a guest, besides those of a migration (control.Moved and so on).
const (
	Stayed = "stayed" // it can't go, or there was no destination left for it: nothing was tried
	Gone   = "gone"   // it was not here any more when its migration was to begin
)

// Try is one migration of a guest's.
type Try struct {
	To      string        `json:"to"`
	Outcome string        `json:"outcome"`
	Message string        `json:"message"`
	Elapsed time.Duration `json:"elapsed_ns"`

	Downtime time.Duration `json:"downtime_ns,omitempty"` // for which the guest stood still; 0: not known
}

// Settled is what became of a guest.
type Settled struct {
	Guest   string   `json:"guest"`
	UUID    string   `json:"uuid"`
	Outcome string   `json:"outcome"`
	Message string   `json:"message,omitempty"` // of the last event
	Tries   []Try    `json:"tries,omitempty"`
	Reasons []Reason `json:"reasons,omitempty"` // why it could not go to those where it was not tried
}

// Report is how an evacuation ended.
type Report struct {
	Source  string        `json:"source"`
	Outcome string        `json:"outcome"` // the worst of all: Unknown, Failed, Cancelled or Moved
	Elapsed time.Duration `json:"elapsed_ns"`
	Guests  []Settled     `json:"guests"`
	Off     []string      `json:"off,omitempty"` // guests that are only defined here
}

// Count is how many guests have one of these outcomes.
func (r *Report) Count(outcomes ...string) (n int) {
	for _, g := range r.Guests {
		for _, o := range outcomes {
			if g.Outcome == o {
				n++
			}
		}
	}
	return n
}

// report is what became of all.
func (e *Evacuation) report(elapsed time.Duration) *Report {
	r := &Report{Source: e.Source, Elapsed: elapsed, Off: e.Off, Guests: []Settled{}, Outcome: control.Moved}
	for _, m := range e.moves {
		s := Settled{Guest: m.Name, UUID: m.UUID, Outcome: m.outcome, Message: m.message, Tries: m.tries}
		if m.nowhere {
			s.Reasons = e.reasons(m)
		}
		r.Guests = append(r.Guests, s)
	}
	for _, worse := range []struct {
		outcome string
		of      []string
	}{
		{control.Cancelled, []string{control.Cancelled}},
		{control.Failed, []string{control.Failed, Stayed}},
	} {
		if r.Count(worse.of...) > 0 {
			r.Outcome = worse.outcome
		}
	}
	if r.Count(control.Moved, Gone, control.Cancelled, control.Failed, Stayed) < len(r.Guests) {
		r.Outcome = control.Unknown // or one that a newer daemon has, and this program can't vouch for
	}
	return r
}
