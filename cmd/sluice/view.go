package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// view shows one migration to whoever asked for it. Its methods may be called
// from several goroutines.
type view interface {
	progress(control.Progress)
	note(string)                                 // a remark while it runs
	result(*control.Result)                      // the end
	failure(*control.MigrateRequest, int, error) // the end, without a Result
}

// newView is a bar if progress goes to a terminal that can draw one, lines if not, or JSON.
func newView(io streams, asJSON bool) view {
	if asJSON {
		return &jsonView{io: io}
	}
	if t, ok := terminalOf(io.err); ok && t.moves && t.columns >= minBarView {
		return &barView{io: io}
	}
	return &lineView{io: io, now: time.Now}
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
func (v *jsonView) note(s string)               { say(v.io.err, s) }

// failure writes a Result as well, so that a program always finds one.
func (v *jsonView) failure(req *control.MigrateRequest, code int, err error) {
	outcome := control.Failed
	if code == exitUnknown {
		outcome = control.Unknown
	}
	v.result(&control.Result{Outcome: outcome, Message: err.Error(), Cause: err.Error(), Guest: req.Guest, Destination: req.Peer})
	v.note(err.Error())
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
	say(v.io.err, s)
}

func (v *lineView) result(r *control.Result) { writeResult(v.io, r) }

func (v *lineView) failure(_ *control.MigrateRequest, _ int, err error) { v.note(err.Error()) }
