package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// reportPage is the page of sluice report --html. It has no script, and its policy lets it load
// nothing: what peers say is in it.
//
//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Parse(reportPage))

// Size of a plot, in its own units.
const (
	plotWidth  = 1000
	plotHeight = 160
)

// drawn is a plot as the page has it.
type drawn struct {
	Name, Most, Points string
}

// strip is a phase on the page's time line.
type strip struct {
	phaseSpan
	X, Width float64
	Shade    int // of a few
}

func (s strip) Began() string  { return span(s.At) }
func (s strip) Lasted() string { return span(s.Took) }

// noted is a note as the page has it.
type noted struct{ After, Text string }

func writeReportPage(w io.Writer, s *control.SessionRecord, now time.Time) error {
	took := max(lasted(s, now), time.Millisecond)
	page := struct {
		Title, Outcome, Took string
		Width, Height        int
		Facts                []fact
		Phases               []strip
		Passes               []passRow
		Plots                []drawn
		Channels             []control.ChannelStatus
		Notes                []struct {
			Title string
			Notes []noted
		}
		Size func(uint64) string
		TLS  func(control.ChannelStatus) string
	}{
		Title: oneLine(reportTitle(s)), Outcome: s.Outcome, Took: span(took), Width: plotWidth, Height: plotHeight,
		Facts: reportFacts(s, now), Passes: passRows(s), Channels: s.Channels, Size: size,
		TLS: func(c control.ChannelStatus) string { return tls(c.TLS, c.Suite, c.Group, c.Path) },
	}
	for i, p := range phaseSpans(s, now) {
		page.Phases = append(page.Phases, strip{p, plotWidth * float64(p.At) / float64(took), plotWidth * float64(p.Took) / float64(took), i % 5})
	}
	for _, p := range plots(s) {
		d := drawn{Name: p.Name, Most: p.Most()}
		var points []string
		for i, v := range p.Values {
			x := plotWidth * float64(time.Duration(p.At[i])*time.Millisecond) / float64(took)
			points = append(points, fmt.Sprintf("%.1f,%.1f", min(x, plotWidth), plotHeight*(1-float64(v)/float64(p.most()))))
		}
		d.Points = strings.Join(points, " ")
		page.Plots = append(page.Plots, d)
	}
	for _, k := range notesByKind(s) {
		var all []noted
		for _, n := range k.Notes {
			all = append(all, noted{span(time.Duration(n.At) * time.Millisecond), oneLine(n.Text)})
		}
		page.Notes = append(page.Notes, struct {
			Title string
			Notes []noted
		}{k.Title, all})
	}
	return reportTemplate.Execute(w, &page)
}
