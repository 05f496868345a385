package bench

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Drawing is an SVG image of bars.
type Drawing struct {
	Title  string
	Notes  []string
	Panels []Panel
}

// Panel are bars of one kind.
type Panel struct {
	Title, Unit string
	Limit       float64 // 0: none
	Bars        []Bar
}

// Bar is a figure, with a line from its least to its most.
type Bar struct {
	Label string
	Figure
	Ours bool
}

// Write writes the drawing.
func (d Drawing) Write(w io.Writer) error {
	var body strings.Builder
	y := 36.0
	for _, note := range d.Notes {
		fmt.Fprintf(&body, `<text x="16" y="%.0f" fill="#555">%s</text>`+"\n", y+4, html.EscapeString(note))
		y += 16
	}
	for _, p := range d.Panels {
		y = p.draw(&body, y)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
<text x="16" y="22" font-size="15" font-weight="bold">%s</text>
%s</svg>
`, plotWidth, y+8, html.EscapeString(d.Title), body.String())
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

// draw writes the panel from y on, and returns where the next one may begin.
func (p Panel) draw(b *strings.Builder, y float64) float64 {
	most := p.Limit
	for _, bar := range p.Bars {
		most = max(most, bar.Most)
	}
	if most == 0 {
		return y
	}
	x := func(v float64) float64 { return labels + v/most*(plotWidth-labels-valueRoom) }
	fmt.Fprintf(b, `<text x="16" y="%.0f" font-weight="bold">%s</text><text x="%d" y="%.0f" text-anchor="end" fill="#555">%s</text>`+"\n",
		y+14, html.EscapeString(p.Title), plotWidth-16, y+14, html.EscapeString(p.Unit))
	y += 22
	top := y
	for _, bar := range p.Bars {
		colour := "#9aa5b1"
		if bar.Ours {
			colour = "#1f6feb"
		}
		fmt.Fprintf(b, `<text x="%d" y="%.0f" text-anchor="end">%s</text><rect x="%d" y="%.0f" width="%.1f" height="%d" fill="%s"/>`,
			labels-6, y+barHeight-3, html.EscapeString(bar.Label), labels, y, x(bar.Median)-labels, barHeight, colour)
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#333"/><text x="%.1f" y="%.0f">%.3g</text>`+"\n",
			x(bar.Least), x(bar.Most), y+barHeight/2, y+barHeight/2, x(bar.Most)+5, y+barHeight-3, bar.Median)
		y += barStep
	}
	if p.Limit > 0 {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#c0392b" stroke-dasharray="4 3"/><text x="%.1f" y="%.0f" fill="#c0392b" text-anchor="middle">limit %.3g</text>`+"\n",
			x(p.Limit), x(p.Limit), top-2, y, x(p.Limit), y+10, p.Limit)
	}
	return y + 22
}
