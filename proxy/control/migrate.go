package control

import "time"

// PhaseOpen is the phase of a session that has no migration of its own, once it is open.
const PhaseOpen = "open"

// Phases of a migration, in order.
const (
	PhaseConnect = "connect" // opening the session with the peer
	PhaseBegin   = "begin"   // asking the source for the guest's description
	PhasePrepare = "prepare" // the destination makes a QEMU that waits
	PhaseDisks   = "disks"   // disks are copied
	PhaseMemory  = "memory"  // memory is copied while the guest runs at the source
	PhasePost    = "postcopy"
	PhaseFinish  = "finish"  // the destination takes over
	PhaseConfirm = "confirm" // the source lets go
	PhaseDone    = "done"
)

// Progress is the state of a migration at one moment. Rates are bytes per
// second. What is not known yet is zero.
type Progress struct {
	Phase   string        `json:"phase"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Percent float64       `json:"percent"` // of what libvirt now knows it must move

	Total     uint64 `json:"total"` // memory and disks, bytes
	Processed uint64 `json:"processed"`
	Remaining uint64 `json:"remaining"`
	DirtyRate uint64 `json:"dirty_rate"`         // bytes per second the guest dirties
	Iteration uint64 `json:"iteration"`          // passes over memory begun
	Throttle  uint64 `json:"throttle,omitempty"` // percent of its time that auto-converge takes from the guest

	Carried  uint64        `json:"carried"` // bytes sluice carried, both ways, all channels
	Rate     uint64        `json:"rate"`    // of Carried, over the last seconds; where the data goes past sluice, libvirt's
	Channels int           `json:"channels"`
	ETA      time.Duration `json:"eta_ns"` // 0: not known

	// Downtime is for how long the guest would stand still if it were stopped for what was left when
	// QEMU looked last, by QEMU's estimate; 0: not known. Only its source knows it.
	Downtime time.Duration `json:"expected_downtime_ns,omitempty"`

	// Stalled says in words that the guest changes memory as fast as it gets through, so that no end
	// is in sight, and what helps. Empty: it gets on, or is too young to tell.
	Stalled string `json:"stalled,omitempty"`

	// Decisions are what the daemon has decided about the migration so far, oldest first.
	Decisions []Note `json:"decisions,omitempty"`
}

// Outcomes of a migration.
const (
	Moved     = "moved"
	Failed    = "failed"    // the guest is at the source
	Cancelled = "cancelled" // by the caller; the guest is at the source
	Unknown   = "unknown"   // no one can say, or the guest needs a hand: Message tells
)

// Result is how a migration ended.
type Result struct {
	Outcome string `json:"outcome"`
	Message string `json:"message"` // for a person: where the guest is, and why
	Cause   string `json:"cause,omitempty"`
	Session string `json:"session,omitempty"`

	Warnings []string `json:"warnings,omitempty"` // such as that the data went in clear

	Guest       string `json:"guest"`
	UUID        string `json:"uuid,omitempty"`
	Source      string `json:"source"`
	Destination string `json:"destination"`

	Decisions []Note `json:"decisions,omitempty"` // that the daemon has made about it, each with its reason

	DisksMade []string `json:"disks_made,omitempty"` // paths of those that the destination has made, and keeps

	Carried  uint64        `json:"carried"` // bytes, both ways, all channels
	Channels int           `json:"channels"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Downtime time.Duration `json:"downtime_ns,omitempty"` // as the destination's libvirt measured it

	Path  string `json:"path,omitempty"`
	TLS   string `json:"tls,omitempty"`   // version, such as TLS1.3; empty: in clear
	Suite string `json:"suite,omitempty"` // IANA name
	Group string `json:"group,omitempty"` // of the key exchange, as priority strings call it
}

// Event is one line of a stream: Progress until the last, which holds what it came to, a Result for
// the one who has asked for the migration, and a Session for those who follow it.
type Event struct {
	Progress *Progress      `json:"progress,omitempty"`
	Result   *Result        `json:"result,omitempty"`
	Session  *SessionStatus `json:"session,omitempty"`
}
