package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/proxy/control"
)

// screenEvacuation draws all guests on a terminal, with a bar for all of them, and says what happens
// above.
type screenEvacuation struct {
	lineEvacuation
	drawing
	standing evacuate.Standing
	over     bool
}

func (v *screenEvacuation) note(s string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over || len(v.drawn) == 0 {
		say(v.io.err, s)
		return
	}
	v.draw(v.io.err, s, v.lines)
}

func (v *screenEvacuation) told(e evacuate.Event, standing func() evacuate.Standing) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.standing = standing()
	text := v.news(e)
	if e.Next == "" && e.Host == "" { // what the table does not show is said above
		text = ""
	}
	if text != "" || len(v.drawn) == 0 || e.Result != nil || time.Since(v.at) >= drawEvery {
		v.draw(v.io.err, text, v.lines)
	}
}

// report takes the screen's place.
func (v *screenEvacuation) report(r *evacuate.Report) {
	v.mu.Lock()
	v.over = true
	if len(v.drawn) > 0 {
		v.draw(v.io.err, "", func(int, int) []string { return nil })
	}
	v.mu.Unlock()
	v.lineEvacuation.report(r)
}

// lines are the bar, and as many guests as there is room for: those under way first, then those that
// wait, then those that are settled, and of these first those that have not moved.
func (v *screenEvacuation) lines(rows, width int) []string {
	s := v.standing
	all := control.Progress{Phase: "evacuate", Percent: s.Percent}
	if s.Known {
		all.ETA = s.Left
	}
	if s.Percent >= 100 {
		all.Phase = control.PhaseDone
	}
	lines := []string{bar(all, width)}
	if line := fit(standingFields(s), width); line != "" {
		lines = append(lines, line)
	}
	rank := func(g evacuate.Row) int {
		switch {
		case g.Moving:
			return 0
		case g.Outcome == "":
			return 1
		case g.Outcome != control.Moved:
			return 2
		}
		return 3
	}
	guests := slices.Clone(s.Guests)
	slices.SortStableFunc(guests, func(a, b evacuate.Row) int { return rank(a) - rank(b) })
	t := table{columns: []column{{"GUEST", 0}, {"TO", 0}, {"STATE", 0}, {"RATE", 1}, {"LEFT", 1}, {"ETA", 1}}}
	for _, g := range guests {
		t.row(guestCells(g)...)
	}
	body := t.lines(width)
	if room := rows - len(lines); len(body) > room {
		body = append(body[:max(room-1, 0):max(room-1, 0)], fmt.Sprintf("%s… %d more", margin, len(body)-max(room-1, 0)))
	}
	return append(lines, body...)
}

// guestCells are a guest's in the table.
func guestCells(g evacuate.Row) []string {
	cells := []string{g.Guest, g.To, "waits", blank, blank, blank}
	switch p := g.Progress; {
	case g.Outcome != "":
		cells[2] = g.Outcome
	case g.Doubted:
		cells[2] = g.Tries[len(g.Tries)-1].Outcome
	case g.Moving:
		cells[2] = fmt.Sprintf("%s %d%%", phaseWord(*p), percent(*p))
		if p.Total > 0 {
			cells[3], cells[4] = rate(p.Rate), size(p.Remaining)
		}
		if p.ETA > 0 {
			cells[5] = coarse(p.ETA)
		}
		if p.Stalled != "" {
			cells[5] = "none"
		}
	case len(g.Tries) > 0:
		cells[2] = "waits to be tried again"
	}
	return cells
}
