package proxy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// tally is what sessions have come to since the daemon's start. Its keys are
// closed sets, whatever peers send, and all there from the beginning: to
// Prometheus a count that first appears as 1 has not risen.
type tally struct {
	ended          map[ending]uint64
	failed         map[failed]uint64
	sent, received map[string]uint64 // bytes, by the kind of channel
}

// line is a line of work.
type line struct{ direction, work string }

type ending struct {
	line
	outcome string
}

type failed struct{ direction, code string }

const (
	// outcomeDone is the outcome of a session without a guest that was done.
	outcomeDone = "done"
	// otherWord stands for what a peer says and this sluice does not know.
	otherWord = "other"
)

// lines are all lines of work.
func lines() []line {
	var all []line
	for _, direction := range []string{control.Outgoing, control.Incoming} {
		for _, work := range []string{workMigration, workSteered, workLibvirt, workIntercept} {
			all = append(all, line{direction, work})
		}
	}
	return append(all, line{control.Incoming, workClient}, line{control.Incoming, otherWord})
}

// outcomes are all outcomes of a line.
func (l line) outcomes() []string {
	switch l.work {
	case workMigration, workSteered:
		return []string{control.Moved, control.Failed, control.Cancelled, control.Unknown}
	case workLibvirt, workClient, workIntercept:
		return []string{outcomeDone, control.Failed}
	}
	return []string{control.Failed}
}

// codes are all codes that a cause may have: stream's, and those of a refused
// handshake.
func codes() []string {
	all := append(stream.Codes(), otherWord)
	for _, c := range tlsconf.Causes() {
		all = append(all, string(c))
	}
	return all
}

func newTally() tally {
	t := tally{ended: make(map[ending]uint64), failed: make(map[failed]uint64), sent: make(map[string]uint64), received: make(map[string]uint64)}
	for _, l := range lines() {
		for _, outcome := range l.outcomes() {
			t.ended[ending{l, outcome}] = 0
		}
		for _, code := range codes() {
			t.failed[failed{l.direction, code}] = 0
		}
	}
	for _, kind := range []string{stream.ChannelMemory, stream.ChannelDisk, stream.ChannelLibvirt, stream.ChannelIntercept} {
		t.sent[kind], t.received[kind] = 0, 0
	}
	return t
}

func (t tally) clone() tally {
	return tally{maps.Clone(t.ended), maps.Clone(t.failed), maps.Clone(t.sent), maps.Clone(t.received)}
}

// end counts a session's end.
func (t tally) end(e *entry, outcome, code string) {
	outcome = cmp.Or(outcome, outcomeDone)
	t.ended[ending{e.line(), outcome}]++
	if outcome == outcomeDone || outcome == control.Moved {
		return
	}
	if !slices.Contains(codes(), code) {
		code = otherWord
	}
	t.failed[failed{e.direction, code}]++
}

// carry counts a session's bytes, once.
func (t tally) carry(channels []channelView) {
	for _, c := range channels {
		t.sent[c.kind] += uint64(c.Sent())
		t.received[c.kind] += uint64(c.Received())
	}
}

func (e *entry) line() line {
	l := line{e.direction, e.info.Work}
	if !slices.Contains(lines(), l) {
		l.work = otherWord
	}
	return l
}
