package session

import (
	"cmp"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// counters is what sessions have come to since the daemon's start. Its keys are
// closed sets, whatever peers send, and all there from the beginning: to
// Prometheus a count that first appears as 1 has not risen.
type counters struct {
	Ended          map[endKey]uint64
	Failed         map[failureKey]uint64
	Sent, Received map[string]uint64 // bytes, by the kind of channel
}

// class is what sessions are counted by.
type class struct{ Direction, Work string }

type endKey struct {
	class
	Outcome string
}

type failureKey struct{ Direction, Code string }

const (
	// OutcomeDone is the outcome of a session without a guest that was done.
	OutcomeDone = "done"
	// otherWord stands for what a peer says and this sluice does not know.
	otherWord = "other"
)

// classes are all of them.
func classes() []class {
	var all []class
	for _, direction := range []string{control.Outgoing, control.Incoming} {
		for _, work := range []string{WorkMigration, WorkSteered, WorkLibvirt, WorkLead, WorkIntercept, WorkProbe} {
			all = append(all, class{direction, work})
		}
	}
	return append(all, class{control.Incoming, WorkClient}, class{control.Incoming, otherWord})
}

// classOf is the class of a session.
func classOf(direction, work string) class {
	l := class{direction, work}
	if !slices.Contains(classes(), l) {
		l.Work = otherWord
	}
	return l
}

// WorkLabel is what a session's work is called in metrics, a closed set.
func WorkLabel(s control.SessionStatus) string { return classOf(s.Direction, s.Kind).Work }

// outcomes are all outcomes of a class.
func (l class) outcomes() []string {
	switch l.Work {
	case WorkMigration, WorkSteered:
		return []string{control.Moved, control.Failed, control.Cancelled, control.Unknown}
	case WorkLibvirt, WorkClient, WorkLead, WorkIntercept, WorkProbe:
		return []string{OutcomeDone, control.Failed}
	}
	return []string{control.Failed}
}

// codes are all codes that a cause may have: stream's, and those of a refused handshake.
func codes() []string {
	all := append(stream.Codes(), otherWord)
	for _, c := range tlsconf.Causes() {
		all = append(all, string(c))
	}
	return all
}

func newCounters() counters {
	c := counters{Ended: make(map[endKey]uint64), Failed: make(map[failureKey]uint64), Sent: make(map[string]uint64), Received: make(map[string]uint64)}
	for _, l := range classes() {
		for _, outcome := range l.outcomes() {
			c.Ended[endKey{l, outcome}] = 0
		}
		for _, code := range codes() {
			c.Failed[failureKey{l.Direction, code}] = 0
		}
	}
	for _, kind := range stream.ChannelKinds() {
		c.Sent[kind.Name], c.Received[kind.Name] = 0, 0
	}
	return c
}

func (c counters) clone() counters {
	return counters{maps.Clone(c.Ended), maps.Clone(c.Failed), maps.Clone(c.Sent), maps.Clone(c.Received)}
}

// end counts a session's end.
func (c counters) end(e *Entry, outcome, code string) {
	outcome = cmp.Or(outcome, OutcomeDone)
	c.Ended[endKey{e.class(), outcome}]++
	if outcome == OutcomeDone || outcome == control.Moved {
		return
	}
	if !slices.Contains(codes(), code) {
		code = otherWord
	}
	c.Failed[failureKey{e.direction, code}]++
}

// carry counts a session's bytes, once.
func (c counters) carry(channels []Channel) {
	for _, ch := range channels {
		c.Sent[ch.Kind] += uint64(ch.Sent())
		c.Received[ch.Kind] += uint64(ch.Received())
	}
}
