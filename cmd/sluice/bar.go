package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/virt-sluice/sluice/proxy/control"
)

// barView draws two lines on a terminal: phase, percent, bar and ETA; and the figures, as many as
// there is room for. The cursor rests below them. What else appears there, such as the ^C that a
// terminal shows, is drawn over.
type barView struct {
	io streams

	mu   sync.Mutex
	last control.Progress
	drawing
	over bool
}

// drawing is lines at the end of what is on a terminal, which are drawn again in their place.
type drawing struct {
	drawn []string
	at    time.Time
}

// minBarView is the narrowest terminal, in columns, that has room for phase and percent.
const minBarView = 20

// minBar is the narrowest bar, between its brackets, that says more than the percentage beside it.
const minBar = 10

// drawEvery is how often the same phase is drawn again at most.
const drawEvery = 100 * time.Millisecond

// bar is the first line, of so many columns.
func bar(p control.Progress, columns int) string {
	head := fmt.Sprintf("%-9s %3d%%", phaseWord(p), percent(p))
	tail := fmt.Sprintf(" %-10s", eta(p)) // of one width, so that the bar keeps its own
	room := columns - len(head) - len(" [") - len("]")
	if room-len(tail) < minBar {
		tail = ""
	}
	room -= len(tail)
	if room < minBar {
		return head
	}
	full := room * percent(p) / 100
	tip := ""
	if full < room {
		tip = ">"
	}
	return head + " [" + strings.Repeat("=", full) + tip + strings.Repeat(" ", room-full-len(tip)) + "]" + strings.TrimRight(tail, " ")
}

// show draws the bar, below what is said.
func (v *barView) show(text string) {
	v.draw(v.io.err, text, func(_, width int) []string {
		lines := []string{bar(v.last, width)}
		if line := fit(fields(v.last), width); line != "" && !v.over {
			lines = append(lines, line)
		}
		return lines
	})
}

// draw puts text and then the lines in place of those that are on the screen, in one write, so that
// nothing flickers. lines is told how many rows and columns there are for them.
func (v *drawing) draw(to io.Writer, text string, lines func(rows, columns int) []string) {
	t, ok := terminalOf(to)
	if !ok {
		return // it has gone away
	}
	var above []string
	if text != "" {
		above = wrapped(text, t.columns)
	}
	up := v.height(t.columns)
	// A full line may or may not have taken the cursor to the next one, and that rests on the last row.
	v.drawn = lines(t.rows-1, t.columns-1)
	var b strings.Builder
	b.WriteString("\r")
	if up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	// Each line is cleared by itself: from the top of the screen on, clearing it all would make
	// history of it in some terminals.
	for _, line := range append(above, v.drawn...) {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	v.at = time.Now()
	io.WriteString(to, b.String())
}

// height is how many rows the drawing takes: more than it has lines, once the terminal has become
// narrower.
func (v *drawing) height(columns int) int {
	n := 0
	for _, line := range v.drawn {
		n += max(1, (runewidth.StringWidth(line)+columns-1)/columns)
	}
	return n
}

func (v *barView) progress(p control.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	same := p.Phase == v.last.Phase && len(v.drawn) > 0
	v.last = p
	if !same || time.Since(v.at) >= drawEvery {
		v.show("")
	}
}

// note prints above the bar.
func (v *barView) note(s string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over || len(v.drawn) == 0 {
		say(v.io.err, s)
		return
	}
	v.show(s)
}

// end leaves the bar on the screen, full if the guest has moved, without the figures: the result has
// better ones.
func (v *barView) end(moved bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	if moved {
		v.last.Phase, v.last.ETA = control.PhaseDone, 0
	}
	if len(v.drawn) > 0 {
		v.show("")
	}
}

func (v *barView) result(r *control.Result) {
	v.end(r.Outcome == control.Moved)
	writeResult(v.io, r)
}

func (v *barView) failure(_ *control.MigrateRequest, _ int, err error) {
	v.end(false)
	say(v.io.err, err.Error())
}
