package bench

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Plot writes the report as an SVG image: a panel for each work.
func (rep *Report) Plot(w io.Writer) error {
	var panels []panel
	for _, t := range rep.Tables {
		p := panel{title: t.Title, unit: "GB per CPU-second, both relays together", limit: t.Limit.Median}
		get := func(r Row) Figure { return r.PerCPU }
		if t.Message > 0 {
			p.unit, get = "p50 of the round trip, us: shorter is better", func(r Row) Figure {
				return Figure{r.P50.Median * 1e6, r.P50.Least * 1e6, r.P50.Most * 1e6}
			}
		}
		for _, r := range t.Rows {
			if r.Rounds > 0 {
				p.bars = append(p.bars, bar{r.Contender, get(r), strings.HasPrefix(r.Contender, "sluice")})
			}
		}
		panels = append(panels, p)
	}
	var body strings.Builder
	y := 68.0
	for _, p := range panels {
		y = p.draw(&body, y)
	}
	where := fmt.Sprintf("%s, %s, %d cores, Linux %s; %s", rep.Date, rep.Machine.CPU, rep.Machine.Cores, rep.Machine.Kernel, rep.Network)
	how := fmt.Sprintf("medians of %d rounds of %d MiB or %d round trips, lines from least to most", rep.Rounds, rep.Size>>20, rep.Pings)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
<text x="16" y="22" font-size="15" font-weight="bold">unix socket, relay, mutual TLS 1.3 (AES-128-GCM), relay, unix socket</text>
<text x="16" y="40" fill="#555">%s</text>
<text x="16" y="56" fill="#555">%s</text>
%s</svg>
`, plotWidth, y+8, html.EscapeString(where), html.EscapeString(how), body.String())
	return err
}

// Sizes in pixels.
const (
	plotWidth = 860
	labels    = 110 // what the bars begin behind
	valueRoom = 60
	barHeight = 14
	barStep   = 20
)

type panel struct {
	title, unit string
	limit       float64 // 0: none
	bars        []bar
}

type bar struct {
	label string
	Figure
	ours bool
}

// draw writes the panel from y on, and returns where the next one may begin.
func (p panel) draw(b *strings.Builder, y float64) float64 {
	most := p.limit
	for _, bar := range p.bars {
		most = max(most, bar.Most)
	}
	if most == 0 {
		return y
	}
	x := func(v float64) float64 { return labels + v/most*(plotWidth-labels-valueRoom) }
	fmt.Fprintf(b, `<text x="16" y="%.0f" font-weight="bold">%s</text><text x="%d" y="%.0f" text-anchor="end" fill="#555">%s</text>`+"\n",
		y+14, html.EscapeString(p.title), plotWidth-16, y+14, html.EscapeString(p.unit))
	y += 22
	top := y
	for _, bar := range p.bars {
		colour := "#9aa5b1"
		if bar.ours {
			colour = "#1f6feb"
		}
		fmt.Fprintf(b, `<text x="%d" y="%.0f" text-anchor="end">%s</text><rect x="%d" y="%.0f" width="%.1f" height="%d" fill="%s"/>`,
			labels-6, y+barHeight-3, html.EscapeString(bar.label), labels, y, x(bar.Median)-labels, barHeight, colour)
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#333"/><text x="%.1f" y="%.0f">%.3g</text>`+"\n",
			x(bar.Least), x(bar.Most), y+barHeight/2, y+barHeight/2, x(bar.Most)+5, y+barHeight-3, bar.Median)
		y += barStep
	}
	if p.limit > 0 {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#c0392b" stroke-dasharray="4 3"/><text x="%.1f" y="%.0f" fill="#c0392b" text-anchor="middle">limit %.3g</text>`+"\n",
			x(p.limit), x(p.limit), top-2, y, x(p.limit), y+10, p.limit)
	}
	return y + 22
}
