package evacuate

import (
	"slices"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Guest is one that is to leave.
type Guest struct {
	Name, UUID string
	Ways       []Way // one for each destination that it was planned for
}

// Way is one destination of a guest.
type Way struct {
	Host string
	Plan *control.Plan // nil: there is none
	Err  error         // why
}

// Reason is why a guest can't go to a host. Host is empty where the reason is this host's.
type Reason struct {
	Host   string `json:"host,omitempty"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

func (r Reason) String() string {
	if r.Host == "" {
		return r.Text
	}
	return r.Host + ": " + r.Text
}

// sessionsCode is a finding's that sessions of others take all places: these end, and there is room
// again.
const sessionsCode = "sessions"

// refusals are why the guest can't go this way; nil if it can.
func (w *Way) refusals() (why []Reason) {
	if w.Plan == nil {
		return []Reason{{Host: w.Host, Text: w.Err.Error()}}
	}
	for _, f := range w.Plan.Findings {
		if f.Result == control.ResultError && (f.Code != sessionsCode || f.Peer == "") {
			why = append(why, Reason{f.Peer, f.Text, f.Remedy})
		}
	}
	return why
}

// Risks of a guest, the biggest first.
const (
	RiskEndless = "endless" // by what was measured, the migration does not end by itself
	RiskUnknown = "unknown" // it could not be measured whether it ends
	RiskMeans   = "means"   // it ends only by something that is done to the guest, and is allowed
	RiskNone    = ""
)

// move is one guest's, from the plan until it is settled.
type move struct {
	*Guest
	ways  []Way // that it can go
	state state
	to    *host // where it goes, or is; nil: nowhere
	tried []*host
	tries []Try

	risk   string
	cost   cost
	atOnce int // guests that may be sent at once, this one among them

	progress control.Progress // of the migration under way
	took     work             // of that, so far
	began    time.Time
	cancel   chan struct{} // closed to have the migration cancelled
	asked    bool          // cancel is closed

	outcome string
	message string
	nowhere bool // there is no destination left for it
}

type state int

const (
	waiting state = iota
	moving
	settled
)

// way is how the guest goes to a host; nil: it can't.
func (m *move) way(h *host) *Way {
	if i := slices.IndexFunc(m.ways, func(w Way) bool { return w.Host == h.name }); i >= 0 {
		return &m.ways[i]
	}
	return nil
}

// ends says whether the migration does, by what was measured.
func (m *move) ends() bool { return m.risk == RiskNone || m.risk == RiskMeans }

// estimate is what was measured of the guest; nil: nothing.
func (m *move) estimate() *control.Estimate {
	for _, w := range m.ways {
		if w.Plan.Estimate != nil {
			return w.Plan.Estimate
		}
	}
	return nil
}
