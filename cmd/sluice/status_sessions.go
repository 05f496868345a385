package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// sessionsSection is the sessions under way, each with its channels.
func sessionsSection(sessions []control.SessionStatus, now time.Time, width int) section {
	s := section{title: fmt.Sprintf("Sessions: %d", len(sessions)), now: true}
	if len(sessions) > 0 {
		s.lines = sessionsTable(sessions, now, false).lines(width)
		s.brief = sessionsTable(sessions, now, true).lines(width)
	}
	return s
}

func sessionsTable(sessions []control.SessionStatus, now time.Time, brief bool) *table {
	t := &table{columns: []column{
		{"GUEST", 0}, {"DIR", 0}, {"PEER", 0}, {"PHASE", 0}, {"DONE", 0}, {"RATE", 0}, {"LEFT", 2}, {"ETA", 0}, {"DIRTY", 4}, {"PASS", 6},
		{"SENT", 5}, {"RECEIVED", 8}, {"PATH", 9}, {"TLS", 10}, {"SECURED BY", 7}, {"AGE", 3}, {"SESSION", 11},
	}}
	for _, s := range sessions {
		p := s.Progress
		if p == nil {
			p = new(control.Progress)
		}
		done, remaining, dirty, pass := "", "", "", ""
		if p.Total > 0 {
			done, remaining, dirty = fmt.Sprintf("%d%%", percent(*p)), size(p.Remaining), rate(p.DirtyRate)
		}
		if p.Iteration > 0 {
			pass = fmt.Sprint(p.Iteration)
		}
		until := ""
		switch {
		case p.Stalled != "":
			until = "none"
		case p.ETA > 0:
			until = coarse(p.ETA)
		}
		phase := phaseWord(control.Progress{Phase: s.Phase})
		r := t.row(guest(s), s.Direction, s.Peer, phase, done, rate(s.Rate), remaining, until, dirty, pass,
			size(s.Sent), size(s.Received), s.Path, tls(s.TLS, s.Suite, s.Group, s.Path), securedBy(s), coarse(now.Sub(s.Started)), s.ID)
		if brief {
			continue
		}
		if p.Stalled != "" {
			r.add(p.Stalled)
		}
		if p.Stalled != "" && p.Downtime > 0 {
			r.add("stopped now, the guest would stand still for about " + span(p.Downtime))
		}
		addSpecial(r, s)
		for _, c := range s.Channels {
			t.row("  "+c.Name, blank, blank, open(c.Open), blank, blank, blank, blank, blank, blank,
				size(c.Sent), size(c.Received), c.Path, tls(c.TLS, c.Suite, c.Group, c.Path), blank, blank, blank)
		}
	}
	return t
}

// endedSection is the last sessions that ended, and why those that failed did.
func endedSection(ended []control.SessionStatus, now time.Time, width int) section {
	s := section{title: fmt.Sprintf("Ended: %d", len(ended))}
	if len(ended) == 0 {
		return s
	}
	t := table{columns: []column{
		{"GUEST", 0}, {"DIR", 0}, {"PEER", 0}, {"OUTCOME", 0}, {"BYTES", 1}, {"TOOK", 2}, {"ENDED", 0}, {"PATH", 4}, {"TLS", 5}, {"SECURED BY", 3},
	}}
	for _, s := range ended {
		r := t.row(guest(s), s.Direction, s.Peer, s.Outcome, size(s.Sent+s.Received), span(s.Ended.Sub(s.Started)), coarse(now.Sub(s.Ended))+" ago",
			s.Path, tls(s.TLS, s.Suite, s.Group, s.Path), securedBy(s))
		if s.Cause != "" {
			r.add(s.Cause)
		}
		addSpecial(r, s)
	}
	s.lines = t.lines(width)
	return s
}

// guest names a session: connections of libvirt clients have no guest, and
// of intercepted ones it is not known.
func guest(s control.SessionStatus) string {
	return cmp.Or(s.Guest, s.UUID, s.Intended, "("+s.Kind+")")
}

// securedBy says who keeps a guest's memory and disks secret on the way.
func securedBy(s control.SessionStatus) string {
	switch {
	case s.Disks == "" || s.Disks == s.Memory:
		return s.Memory
	case s.Memory == "":
		return s.Disks
	}
	return "memory: " + s.Memory + ", disks: " + s.Disks
}

// addSpecial adds to a session's row what few have: which disks were made for the guest, and where,
// and in whose place it carries the data.
func addSpecial(r *row, s control.SessionStatus) {
	if len(s.DisksMade) > 0 {
		where := "there"
		if s.Direction == control.Incoming {
			where = "here"
		}
		r.add("disks made " + where + ": " + strings.Join(s.DisksMade, ", "))
	}
	if len(s.InPlaceOf) > 0 {
		r.add("in place of the client's " + strings.Join(s.InPlaceOf, " and "))
	}
}

func open(is bool) string {
	if is {
		return "open"
	}
	return "closed"
}

// tls is the version and the suite, "none" of data in clear, and nothing where nothing goes.
func tls(version, suite, group, path string) string {
	if version == "" && path != "" {
		return "none"
	}
	return strings.Join(strings.Fields(version+" "+suite+" "+group), " ")
}
