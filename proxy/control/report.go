package control

import "time"

// CheckRequest asks for a check of this host, or, if it names any, of peers.
type CheckRequest struct {
	Peers []string `json:"peers,omitempty"`
	All   bool     `json:"all,omitempty"` // every peer that is listed, or was found by a pattern
}

// Report is what a check found.
type Report struct {
	Host     string    `json:"host"` // that was checked from
	Version  string    `json:"version"`
	By       string    `json:"by"` // ByDaemon or ByCommand
	Time     time.Time `json:"time"`
	Findings []Finding `json:"findings"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`

	Peers    []PeerView `json:"peers,omitempty"`    // those that were checked
	Patterns []string   `json:"patterns,omitempty"` // by which hosts are peers, where all are checked
}

// Who did a check: a daemon, with what it has in use, or the command line, with
// the configuration as it is on disk.
const (
	ByDaemon  = "daemon"
	ByCommand = "command"
)

// Results of a Finding.
const (
	ResultOK      = "ok"
	ResultWarning = "warning"
	ResultError   = "error"
	ResultUnknown = "unknown" // of a plan: it could not be found out, and Text says why
)

// Finding is one thing that was looked at.
type Finding struct {
	Peer   string `json:"peer,omitempty" msgpack:"-"` // empty: this host
	Check  string `json:"check" msgpack:"check"`      // what was looked at, such as "certificates" or "connect"
	Result string `json:"result" msgpack:"result"`
	Code   string `json:"code,omitempty" msgpack:"code,omitempty"` // of an error or warning, for programs: such as "wrong-ca"
	Side   string `json:"side,omitempty" msgpack:"-"`              // of a refusal: "here" or "there", who refused
	Text   string `json:"text" msgpack:"text"`
	Remedy string `json:"remedy,omitempty" msgpack:"remedy,omitempty"`
}
