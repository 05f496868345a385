package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/proxy/control"
)

// evacuationView shows an evacuation to whoever asked for it. note may be called from several
// goroutines, beside the others.
type evacuationView interface {
	note(string)
	plan(*evacuate.Plan)
	told(evacuate.Event, func() evacuate.Standing)
	report(*evacuate.Report)
}

// newEvacuationView is a screen if that goes to a terminal that can draw one, lines if not, or JSON.
func newEvacuationView(io streams, asJSON bool) evacuationView {
	if asJSON {
		return &jsonEvacuation{io: io}
	}
	if t, ok := terminalOf(io.err); ok && t.moves && t.columns >= minBarView {
		return &screenEvacuation{lineEvacuation: lineEvacuation{io: io, now: time.Now}}
	}
	return &lineEvacuation{io: io, now: time.Now}
}

// jsonEvacuation writes an object a line to out, and remarks to err.
type jsonEvacuation struct {
	io streams
	mu sync.Mutex
}

// evacuationLine is one of them.
type evacuationLine struct {
	Plan *evacuate.Plan `json:"plan,omitempty"`
	evacuate.Event
	Report *evacuate.Report `json:"report,omitempty"`
}

func (v *jsonEvacuation) write(l evacuationLine) {
	v.mu.Lock()
	defer v.mu.Unlock()
	json.NewEncoder(v.io.out).Encode(l) // a reader that is gone ends the process by SIGPIPE
}

func (v *jsonEvacuation) note(s string)             { say(v.io.err, s) }
func (v *jsonEvacuation) plan(p *evacuate.Plan)     { v.write(evacuationLine{Plan: p}) }
func (v *jsonEvacuation) report(r *evacuate.Report) { v.write(evacuationLine{Report: r}) }

func (v *jsonEvacuation) told(e evacuate.Event, _ func() evacuate.Standing) {
	v.write(evacuationLine{Event: e})
}

// lineEvacuation writes plain lines: what begins and ends, and now and then how far it is.
type lineEvacuation struct {
	io    streams
	now   func() time.Time
	mu    sync.Mutex
	tries map[string]string // hosts where guests are, by UUID
	last  time.Time
}

// standingEvery is how often lines say how far it is.
const standingEvery = 10 * time.Second

func (v *lineEvacuation) note(s string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	say(v.io.err, s)
}

func (v *lineEvacuation) plan(p *evacuate.Plan) { writeEvacuationPlan(v.io.out, p, columns(v.io.out)) }

func (v *lineEvacuation) report(r *evacuate.Report) {
	writeEvacuationReport(v.io.out, r, columns(v.io.out))
}

func (v *lineEvacuation) told(e evacuate.Event, standing func() evacuate.Standing) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if text := v.news(e); text != "" {
		fmt.Fprintln(v.io.err, text)
	}
	if now := v.now(); now.Sub(v.last) >= standingEvery {
		if !v.last.IsZero() {
			fmt.Fprintln(v.io.err, standingLine(standing()))
		}
		v.last = now
	}
}

// news is an event in words, if it is not only that something gets on.
func (v *lineEvacuation) news(e evacuate.Event) string {
	switch {
	case e.Host != "":
		return fmt.Sprintf("%s takes no more guests: %s", oneLine(e.Host), oneLine(e.Lost))
	case e.Progress != nil && v.tries[e.UUID] != e.To:
		if v.tries == nil {
			v.tries = make(map[string]string)
		}
		v.tries[e.UUID] = e.To
		return fmt.Sprintf("%s: to %s", oneLine(e.Guest), oneLine(e.To))
	case e.Result == nil, e.To == "" && e.Result.Outcome == control.Cancelled: // all that wait at once
		return ""
	case e.Next != "":
		return fmt.Sprintf("%s: %s; next: %s", oneLine(e.Guest), oneLine(e.Result.Message), oneLine(e.Next))
	}
	return fmt.Sprintf("%s: %s", oneLine(e.Guest), oneLine(e.Result.Message))
}

func standingLine(s evacuate.Standing) string {
	return fmt.Sprintf("%3d%%  %s", int(s.Percent), strings.Join(standingFields(s), ", "))
}

// standingFields say how far it is, the more important first.
func standingFields(s evacuate.Standing) []string {
	done, under := 0, 0
	for _, g := range s.Guests {
		switch {
		case g.Moving:
			under++
		case g.Outcome != "":
			done++
		}
	}
	f := []string{fmt.Sprintf("%d of %s settled", done, count(len(s.Guests), "guest")), fmt.Sprintf("%d under way", under)}
	switch {
	case s.Left <= 0:
	case s.Known:
		f = append(f, fmt.Sprintf("about %s left", coarse(s.Left)))
	default:
		f = append(f, fmt.Sprintf("at least %s left", coarse(s.Left)))
	}
	return f
}

// writeEvacuationPlan is a plan for a person.
func writeEvacuationPlan(w io.Writer, p *evacuate.Plan, width int) {
	var lines []string
	tell := func(format string, args ...any) {
		lines = append(lines, wrap(oneLine(fmt.Sprintf(format, args...)), width)...)
	}
	switch {
	case len(p.Leaving) == 0 && len(p.Staying) == 0:
		tell("%s has no guests to move", p.Source)
	case len(p.Leaving) == 0:
		tell("no guest can leave %s", p.Source)
	case p.Known:
		tell("%s can leave %s, %d at once, within about %s", count(len(p.Leaving), "guest"), p.Source, p.Parallel, coarse(p.Total))
	default:
		tell("%s can leave %s, %d at once; that takes at least %s, nobody knows how much longer", count(len(p.Leaving), "guest"), p.Source, p.Parallel, coarse(p.Total))
	}
	if len(p.Leaving) > 0 {
		t := table{columns: []column{{"GUEST", 0}, {"TO", 0}, {"TO SEND", 1}, {"TIME", 0}, {"STANDS STILL", 2}}}
		for _, l := range p.Leaving {
			takes, still := "not known", "not known"
			if l.Total > 0 {
				takes, still = span(roundly(l.Total)), span(roundly(l.Downtime))
			}
			r := t.row(l.Guest, l.To, size(l.Send), takes, still)
			if l.Endless != nil {
				for _, text := range endless(l.Endless) {
					r.add(text)
				}
			}
			if l.Goal != nil {
				r.add(pursued(l.Goal))
			}
			if l.Alone {
				r.add("it goes alone: it changes too much memory to share the link")
			}
		}
		lines = append(lines, t.lines(width)...)
	}
	for _, s := range p.Staying {
		tell("%s can't go:", s.Guest)
		lines = append(lines, reasonLines(s.Reasons, width)...)
	}
	if len(p.Unusable) > 0 {
		tell("Not used:")
		lines = append(lines, reasonLines(p.Unusable, width)...)
	}
	if len(p.Off) > 0 {
		tell("Only defined here, and not moved (--offline --persistent moves definitions): %s", strings.Join(p.Off, ", "))
	}
	writeLines(w, lines)
}

// reasonLines are reasons, each with what to do.
func reasonLines(why []evacuate.Reason, width int) (lines []string) {
	for _, r := range why {
		lines = append(lines, indented(margin, r.String(), width)...)
		if r.Remedy != "" {
			lines = append(lines, indented(margin+margin, "-> "+r.Remedy, width)...)
		}
	}
	return lines
}

// writeEvacuationReport is a report for a person.
func writeEvacuationReport(w io.Writer, r *evacuate.Report, width int) {
	if len(r.Guests) == 0 {
		return // the plan has said that there is nothing to do
	}
	left := r.Count(control.Moved)
	text := fmt.Sprintf("%d of %s moved from %s in %s", left, count(len(r.Guests), "guest"), oneLine(r.Source), span(r.Elapsed))
	if n := r.Count(evacuate.Gone); n > 0 {
		text += fmt.Sprintf("; %d had gone by other means", n)
	}
	lines := wrap(text, width)
	t := table{columns: []column{{"GUEST", 0}, {"TO", 0}, {"OUTCOME", 0}, {"TIME", 1}, {"STOOD STILL", 2}}}
	for _, g := range r.Guests {
		to, took, still := "", "", ""
		if n := len(g.Tries); n > 0 {
			last := g.Tries[n-1]
			if to, took = last.To, span(last.Elapsed); last.Downtime > 0 {
				still = span(last.Downtime)
			}
		}
		row := t.row(g.Guest, to, g.Outcome, took, still)
		for i, try := range g.Tries {
			if try.Outcome != control.Moved {
				row.add(fmt.Sprintf("%s: %s", try.To, try.Message))
			} else if i > 0 {
				row.add(fmt.Sprintf("%s: moved", try.To))
			}
		}
		for _, why := range g.Reasons {
			row.add(why.String())
		}
		if g.Outcome == control.Cancelled && len(g.Tries) == 0 {
			row.add("not begun")
		}
	}
	lines = append(lines, t.lines(width)...)
	if still := r.Count(control.Failed, control.Cancelled, evacuate.Stayed); still > 0 {
		lines = append(lines, wrap(fmt.Sprintf("%s not moved; the same command again goes on with what can go", have(still)), width)...)
	}
	if n := r.Count(control.Unknown); n > 0 {
		lines = append(lines, wrap("Look on both hosts where the guests run whose outcome is unknown, before anything else: virsh list, and sluice status", width)...)
	}
	writeLines(w, lines)
}

func have(guests int) string {
	if guests == 1 {
		return "1 guest has"
	}
	return fmt.Sprintf("%d guests have", guests)
}
