// Package session keeps account of what one host's daemon has under way and what became of it: a
// registry of sessions with their phases, channels and limits, counters for metrics, and the words
// that a session ends with.
//
//	r := session.NewRegistry(200, 100)
//	e, err := r.Add(info, control.Outgoing) // a place, or why there is none
//	e.SetSession(s)
//	r.EndLogged(e, log, outcome, cause)
//
// Everything that opens or accepts a session enters it here, once, and ends it here; `sluice
// status` and the metrics read it. The package opens nothing, and decides nothing about a guest:
// sessions themselves are stream's.
package session
