package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/virt-sluice/sluice/internal/control"
)

// view shows one migration to whoever asked for it. Its methods may be called
// from several goroutines.
type view interface {
	progress(control.Progress)
	note(string)                                 // a remark while it runs
	result(*control.Result)                      // the end
	failure(*control.MigrateRequest, int, error) // the end, without a Result
}

// newView is a bar if progress goes to a terminal that has room for one, lines if not, or JSON.
func newView(io streams, asJSON bool) view {
	switch {
	case asJSON:
		return &jsonView{io: io}
	case width(io.err) >= 20:
		return newBarView(io)
	}
	return &lineView{io: io, now: time.Now}
}

// width is that of a terminal in columns; 0 of anything else, and of a terminal that does not know.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// jsonView writes Events to out, one a line, and remarks to err.
type jsonView struct {
	io streams
	mu sync.Mutex
}

func (v *jsonView) write(e *control.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	json.NewEncoder(v.io.out).Encode(e) // a reader that is gone ends the process by SIGPIPE
}

func (v *jsonView) progress(p control.Progress) { v.write(&control.Event{Progress: &p}) }
func (v *jsonView) result(r *control.Result)    { v.write(&control.Event{Result: r}) }
func (v *jsonView) note(s string)               { fmt.Fprintln(v.io.err, "sluice: "+s) }

// failure writes a Result as well, so that a program always finds one.
func (v *jsonView) failure(req *control.MigrateRequest, code int, err error) {
	outcome := control.Failed
	if code == exitUnknown {
		outcome = control.Unknown
	}
	v.result(&control.Result{Outcome: outcome, Message: err.Error(), Cause: err.Error(), Guest: req.Guest, Destination: req.Peer})
	v.note(tidy(err.Error()))
}

// lineView writes plain lines: one when the phase changes, and at most one a second.
type lineView struct {
	io    streams
	now   func() time.Time
	mu    sync.Mutex
	phase string
	last  time.Time
}

func (v *lineView) progress(p control.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if p.Phase == v.phase && now.Sub(v.last) < time.Second {
		return
	}
	v.phase, v.last = p.Phase, now
	fmt.Fprintln(v.io.err, progressLine(p))
}

func (v *lineView) note(s string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintln(v.io.err, "sluice: "+s)
}

func (v *lineView) result(r *control.Result) { writeResult(v.io, r) }

func (v *lineView) failure(_ *control.MigrateRequest, _ int, err error) { v.note(tidy(err.Error())) }
