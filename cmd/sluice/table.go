package main

import (
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// table is laid out for a width. Where there is no room for all columns, those of the highest rank
// go first, and then the widest cells are cut.
type table struct {
	columns []column
	rows    []row
}

type column struct {
	head string
	rank int // 0: always there
}

type row struct {
	cells []string
	below []string // lines of text under it, wrapped
}

// blank is a cell that has no meaning in its row; an empty one is shown as a dash.
const blank = " "

// row adds one. Spaces at the start of a cell stay.
func (t *table) row(cells ...string) *row {
	for i, c := range cells {
		lead := c[:len(c)-len(strings.TrimLeft(c, " "))]
		if cells[i] = lead + oneLine(c); cells[i] == "" {
			cells[i] = "-"
		}
	}
	t.rows = append(t.rows, row{cells: cells})
	return &t.rows[len(t.rows)-1]
}

func (r *row) add(text string) { r.below = append(r.below, text) }

const (
	margin = "  "
	gap    = "  "
	// leastCell is how narrow a cell is cut.
	leastCell = 6
)

// lines lays the table out for so many columns of a terminal; 0: as many as it takes.
func (t *table) lines(width int) []string {
	widths := make([]int, len(t.columns))
	shown := make([]int, len(t.columns)) // of columns
	for i, c := range t.columns {
		shown[i], widths[i] = i, runewidth.StringWidth(c.head)
		for _, r := range t.rows {
			widths[i] = max(widths[i], runewidth.StringWidth(r.cells[i]))
		}
	}
	over := func() bool {
		n := len(margin) - len(gap)
		for _, i := range shown {
			n += len(gap) + widths[i]
		}
		return width > 0 && n > width
	}
	for over() {
		least := slices.MaxFunc(shown, func(a, b int) int { return t.columns[a].rank - t.columns[b].rank })
		if t.columns[least].rank == 0 {
			break
		}
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == least })
	}
	for over() {
		widest := slices.MaxFunc(shown, func(a, b int) int { return widths[a] - widths[b] })
		if widths[widest] <= leastCell {
			break
		}
		widths[widest]--
	}
	heads := make([]string, len(t.columns))
	for i, c := range t.columns {
		heads[i] = c.head
	}
	var lines []string
	for _, r := range append([]row{{cells: heads}}, t.rows...) {
		line := margin
		for _, i := range shown {
			line += runewidth.FillRight(runewidth.Truncate(r.cells[i], widths[i], "…"), widths[i]) + gap
		}
		lines = append(lines, strings.TrimRight(line, " "))
		for _, text := range r.below {
			lines = append(lines, indented(margin+margin, text, width)...)
		}
	}
	return lines
}

// indented is a text in lines of at most width columns, all of them behind an indent.
func indented(indent, text string, width int) []string {
	lines := wrap(oneLine(text), width-len(indent))
	for i := range lines {
		lines[i] = indent + lines[i]
	}
	return lines
}

func writeLines(w io.Writer, lines []string) {
	if len(lines) > 0 {
		io.WriteString(w, strings.Join(lines, "\n")+"\n")
	}
}
