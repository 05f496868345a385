package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/virt-sluice/sluice/internal/control"
)

// barView draws two lines on a terminal: phase, percent, bar and ETA; and the
// figures, as many as there is room for.
type barView struct {
	io  streams
	box *mpb.Progress
	bar *mpb.Bar

	mu   sync.Mutex
	last control.Progress
	over bool
}

// barSteps is the bar's resolution.
const barSteps = 1000

// minBar is the narrowest bar that says more than the percentage beside it,
// with the blanks around it.
const minBar = 14

func newBarView(io streams) *barView {
	v := &barView{io: io, last: control.Progress{Phase: control.PhaseConnect}}
	v.box = mpb.New(mpb.WithOutput(io.err), mpb.WithRefreshRate(150*time.Millisecond))
	v.bar = v.box.New(barSteps,
		mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.PrependDecorators(decor.Any(v.head)),
		mpb.AppendDecorators(decor.Any(v.tail)),
		mpb.BarExtender(mpb.BarFillerFunc(v.figures), false),
	)
	return v
}

func (v *barView) current() control.Progress {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

func (v *barView) head(decor.Statistics) string {
	p := v.current()
	return fmt.Sprintf("%-9s %3d%%", phaseWord(p), percent(p))
}

// tail comes after head, so what is available is what head has left.
func (v *barView) tail(s decor.Statistics) string {
	e := fmt.Sprintf("%-10s", eta(v.current()))
	if s.AvailableWidth < len(e)+minBar {
		return ""
	}
	return e
}

// figures are gone in the end: the result has better ones.
func (v *barView) figures(w io.Writer, s decor.Statistics) error {
	p := v.current()
	line := fit(fields(p), s.AvailableWidth)
	if line == "" || p.Phase == control.PhaseDone {
		return nil
	}
	_, err := io.WriteString(w, line+"\n")
	return err
}

func (v *barView) progress(p control.Progress) {
	v.mu.Lock()
	v.last = p
	v.mu.Unlock()
	// One step short of the end: a full bar would be over.
	v.bar.SetCurrent(min(int64(p.Percent*barSteps/100), barSteps-1))
}

// note prints above the bar.
func (v *barView) note(s string) {
	v.mu.Lock()
	over := v.over
	v.mu.Unlock()
	if over {
		fmt.Fprintln(v.io.err, "sluice: "+s)
		return
	}
	v.box.Write([]byte("sluice: " + s + "\n"))
}

// end leaves the bar on the screen, full if the guest has moved.
func (v *barView) end(moved bool) {
	v.mu.Lock()
	v.over = true
	if moved {
		v.last.Phase, v.last.ETA = control.PhaseDone, 0
	}
	v.mu.Unlock()
	if moved {
		v.bar.SetCurrent(barSteps)
	} else {
		v.bar.Abort(false)
	}
	v.box.Wait()
}

func (v *barView) result(r *control.Result) {
	v.end(r.Outcome == control.Moved)
	writeResult(v.io, r)
}

func (v *barView) failure(_ *control.MigrateRequest, _ int, err error) {
	v.end(false)
	fmt.Fprintln(v.io.err, "sluice: "+strings.TrimSpace(tidy(err.Error())))
}
