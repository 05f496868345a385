package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/proxy/control"
)

const reportHelp = `Tell how one migration went: who asked for it and how, its phases, the passes
over memory, how fast it was, what each channel carried, limits that were met,
what sluice decided, and why it failed. One that is under way is told as far as
it is.

SESSION is an ID as sluice history and sluice status show it; its first eight
digits will do. Of a GUEST (name or UUID) it is the newest migration.

--html writes a page that holds all it needs, and loads nothing.

Exit status: 0 shown, 1 the daemon was not reached, 2 no such session.`

const reportExamples = `  sluice report web1
  sluice report 81dabf6a --html > web1.html
  sluice report web1 --json | jq .phases`

func newReport(io streams) *cobra.Command {
	var socket string
	var asJSON, asHTML bool
	cmd := &cobra.Command{
		Use:               "report SESSION|GUEST",
		Short:             "Tell how one migration went",
		Long:              reportHelp,
		Example:           reportExamples,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completed(endedSessions),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := context.WithTimeoutCause(cmd.Context(), answerPatience, errNoAnswer)
			defer stop()
			s, err := control.New(socket).Session(ctx, args[0])
			if err != nil {
				return asked403(err)
			}
			switch {
			case asJSON:
				err = json.NewEncoder(io.out).Encode(s)
			case asHTML:
				err = writeReportPage(io.out, s, time.Now())
			default:
				writeLines(io.out, reportLines(s, time.Now(), columns(io.out)))
			}
			if err != nil {
				return failed(fmt.Errorf("write the report: %w", err))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asHTML, "html", false, "write a page for a browser")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.MarkFlagsMutuallyExclusive("html", "json")
	addSocket(cmd.Flags(), &socket)
	return cmd
}

// fact is a line of a report: a name and a value.
type fact struct{ Name, Value string }

// reportTitle says what the migration was, and what came of it.
func reportTitle(s *control.SessionRecord) string {
	from, to := s.Host, s.Peer
	if s.Direction == control.Incoming {
		from, to = to, from
	}
	title := fmt.Sprintf("%s from %s to %s", guest(s.SessionStatus), from, to)
	switch {
	case s.Ended.IsZero():
		title += ": under way, " + phaseWord(control.Progress{Phase: s.Phase})
	case s.Outcome != "":
		title += ": " + s.Outcome
	default:
		title += ": done"
	}
	return title
}

// lasted is how long it has taken.
func lasted(s *control.SessionRecord, now time.Time) time.Duration {
	if s.Ended.IsZero() {
		return now.Sub(s.Started)
	}
	return s.Ended.Sub(s.Started)
}

// reportFacts are what is known of a migration as a whole.
func reportFacts(s *control.SessionRecord, now time.Time) (all []fact) {
	add := func(name, value string) {
		if value = oneLine(value); value != "" {
			all = append(all, fact{name, value})
		}
	}
	add("cause", s.Cause)
	if a := s.Asked; a != nil && a.UID != nil {
		who := fmt.Sprintf("uid %d", *a.UID)
		if a.User != "" {
			who = fmt.Sprintf("%s (%s)", a.User, who)
		}
		if a.PID > 0 {
			who += fmt.Sprintf(", process %d on %s", a.PID, s.Host)
		}
		add("asked by", who)
	} else {
		add("asked by", s.Asked.String())
	}
	add("options", strings.Join(s.Options, " "))
	took := span(lasted(s, now))
	if s.Downtime > 0 {
		took += ", of which the guest was paused for " + span(s.Downtime)
	}
	add("started", clock(s.Started))
	add("time", took)
	if n := s.Sent + s.Received; n > 0 {
		carried := size(n) + channels(len(s.Channels))
		if d := lasted(s, now).Seconds(); d > 0 {
			carried += ", " + rate(uint64(float64(n)/d)) + " on average"
		}
		add("carried", carried)
	}
	add("tls", tls(s.TLS, s.Suite, s.Group, s.Path))
	add("secured by", securedBy(s.SessionStatus))
	add("disks made", strings.Join(s.DisksMade, ", "))
	add("path", s.Path)
	add("address", s.Address)
	add("uuid", s.UUID)
	add("session", s.ID)
	add("told by", fmt.Sprintf("sluice %s on %s, process %d", s.Version, s.Host, s.PID))
	return all
}

// span of phases: when each began, and how long it took.
type phaseSpan struct {
	Name     string
	At, Took time.Duration
}

func phaseSpans(s *control.SessionRecord, now time.Time) (all []phaseSpan) {
	for i, p := range s.Phases {
		at, end := time.Duration(p.At)*time.Millisecond, lasted(s, now)
		if i+1 < len(s.Phases) {
			end = time.Duration(s.Phases[i+1].At) * time.Millisecond
		}
		all = append(all, phaseSpan{phaseWord(control.Progress{Phase: p.Phase}), at, max(end-at, 0)})
	}
	return all
}

// passRow is a pass over memory: after what time it began, and, then, what was left of the guest and
// how much of its memory it changed per second.
type passRow struct{ Pass, After, Left, Changed string }

// passRows are the passes over memory. A guest that changes its memory as fast as it gets through has
// hundreds: the first and the last ones tell how it went.
func passRows(s *control.SessionRecord) (all []passRow) {
	const first, last = 4, 8
	for i, p := range s.Passes {
		if n := len(s.Passes); n > first+last && i >= first && i < n-last {
			if i == first {
				all = append(all, passRow{"…", "…", "…", "…"})
			}
			continue
		}
		changed := rate(p.DirtyRate)
		if p.Pass == 1 && p.DirtyRate == 0 { // QEMU has not measured it yet
			changed = "-"
		}
		all = append(all, passRow{fmt.Sprint(p.Pass), span(time.Duration(p.At) * time.Millisecond), size(p.Remaining), changed})
	}
	return all
}

// plots are the columns of the samples that a report draws.
func plots(s *control.SessionRecord) (all []plot) {
	x := s.Samples
	if x == nil || len(x.At) < 2 {
		return nil
	}
	for _, p := range []plot{
		{"carried per second", x.At, x.Rate, rate},
		{"changed per second", x.At, x.DirtyRate, rate},
		{"left of the guest", x.At, x.Remaining, size},
	} {
		if len(p.Values) == len(p.At) && p.most() > 0 {
			all = append(all, p)
		}
	}
	return all
}

// plot is one figure over time.
type plot struct {
	Name   string
	At     []int64 // milliseconds
	Values []uint64
	words  func(uint64) string
}

func (p plot) most() (n uint64) {
	for _, v := range p.Values {
		n = max(n, v)
	}
	return n
}

// Most is the highest value, in words.
func (p plot) Most() string { return p.words(p.most()) }

// bars draws a plot in one line of so many columns.
func (p plot) bars(columns int) string {
	marks := []rune(" ▁▂▃▄▅▆▇█")
	end, most := p.At[len(p.At)-1]+1, p.most()
	highest := make([]uint64, columns)
	seen := make([]bool, columns)
	for i, at := range p.At {
		c := int(at * int64(columns) / end)
		highest[c], seen[c] = max(highest[c], p.Values[i]), true
	}
	line := make([]rune, columns)
	for c := range line {
		if !seen[c] && c > 0 { // between two samples
			highest[c] = highest[c-1]
		}
		n := int((float64(highest[c])/float64(most))*float64(len(marks)-1) + 0.999)
		line[c] = marks[min(n, len(marks)-1)]
	}
	return string(line)
}

// widest is how many columns bars take where the terminal has more.
const widest = 100

// reportLines is s for a person.
func reportLines(s *control.SessionRecord, now time.Time, width int) (lines []string) {
	const indent = 14
	lines = wrap(oneLine(reportTitle(s)), width)
	for _, f := range reportFacts(s, now) {
		lead := fmt.Sprintf("  %-*s", indent-2, f.Name)
		for _, line := range wrap(f.Value, width-indent) {
			lines = append(lines, lead+line)
			lead = strings.Repeat(" ", indent)
		}
	}
	if spans := phaseSpans(s, now); len(spans) > 0 {
		t := table{columns: []column{{"PHASE", 0}, {"AFTER", 0}, {"TOOK", 0}}}
		for _, p := range spans {
			t.row(p.Name, span(p.At), span(p.Took))
		}
		lines = append(append(lines, "", "Phases"), t.lines(width)...)
	}
	if rows := passRows(s); len(rows) > 0 {
		t := table{columns: []column{{"PASS", 0}, {"AFTER", 0}, {"LEFT", 0}, {"CHANGED", 0}}}
		for _, p := range rows {
			t.row(p.Pass, p.After, p.Left, p.Changed)
		}
		lines = append(append(lines, "", "Passes over memory"), t.lines(width)...)
	}
	if all := plots(s); len(all) > 0 {
		lines = append(lines, "", fmt.Sprintf("Over %s", span(lasted(s, now))))
		columns := widest
		if width > 0 {
			columns = min(width-len(margin), widest)
		}
		for _, p := range all {
			lines = append(lines, fmt.Sprintf("%s%s, at most %s", margin, p.Name, p.Most()), margin+strings.TrimRight(p.bars(max(columns, leastWrap)), " "))
		}
	}
	if len(s.Channels) > 0 {
		t := table{columns: []column{{"CHANNEL", 0}, {"SENT", 0}, {"RECEIVED", 0}, {"PATH", 1}, {"TLS", 2}}}
		for _, c := range s.Channels {
			t.row(c.Name, size(c.Sent), size(c.Received), c.Path, tls(c.TLS, c.Suite, c.Group, c.Path))
		}
		lines = append(append(lines, "", "Channels"), t.lines(width)...)
	}
	for _, n := range notesByKind(s) {
		lines = append(lines, "", n.Title)
		for _, note := range n.Notes {
			lines = append(lines, indented(margin, fmt.Sprintf("after %s: %s", span(time.Duration(note.At)*time.Millisecond), note.Text), width)...)
		}
	}
	return lines
}

type notes struct {
	Title string
	Notes []control.Note
}

// notesByKind are a session's notes, under what they are.
func notesByKind(s *control.SessionRecord) (all []notes) {
	for _, k := range []struct{ kind, title string }{
		{control.NoteLimit, "Limits"}, {control.NoteDecision, "Decisions"}, {control.NoteWarning, "Warnings"},
	} {
		n := notes{Title: k.title}
		for _, note := range s.Notes {
			if note.Kind == k.kind {
				n.Notes = append(n.Notes, note)
			}
		}
		if len(n.Notes) > 0 {
			all = append(all, n)
		}
	}
	return all
}
