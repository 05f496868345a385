package control

import "time"

// DefaultSocket is the control socket of a daemon whose configuration names no run_dir.
const DefaultSocket = "/run/sluice/control.sock"

// What either side bounds, in bytes.
const (
	MaxRequest = 4 << 20   // a request's body: two descriptions of a guest
	MaxLine    = 256 << 10 // one Event
	MaxStatus  = 64 << 20  // a Status: some 300 bytes a channel; a Report
)

// Heartbeat is the longest the daemon is silent in a stream of events.
const Heartbeat = 2 * time.Second
