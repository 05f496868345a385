package main

import (
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// leavingSection is the guests whose destination was asked to take them over, until it is settled
// what becomes of them.
func leavingSection(leaving []control.DepartureStatus, now time.Time, width int) section {
	if len(leaving) == 0 {
		return section{}
	}
	t := table{columns: []column{{"GUEST", 0}, {"TO", 0}, {"ASKED", 1}, {"HERE", 0}, {"THERE", 0}, {"SESSION", 2}}}
	for _, d := range leaving {
		here := "paused"
		if d.Stopped {
			here = "stopped"
		}
		there := d.Verdict
		if there == "" {
			there = "not known"
		}
		r := t.row(d.Guest, d.Peer, coarse(now.Sub(d.Asked))+" ago", here, there, d.Session)
		if d.Last != "" {
			r.add("last heard: " + d.Last)
		}
		if d.Overdue {
			r.add(fmt.Sprintf("Nobody can tell whether %s runs on %s, which is asked again and again. If %s can't come back, look there, then: sluice resolve %s --there, or sluice resolve %s --here",
				d.Guest, d.Peer, d.Peer, d.Guest, d.Guest))
		}
	}
	s := section{title: fmt.Sprintf("Leaving: %d", len(leaving)), lines: t.lines(width), now: true}
	for i := range t.rows {
		t.rows[i].below = nil
	}
	s.brief = t.lines(width)
	return s
}
