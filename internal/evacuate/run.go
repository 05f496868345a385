package evacuate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Mover is what moves guests. Its functions but Told may be called from several goroutines.
type Mover struct {
	// Migrate moves a guest, and returns when that has ended. When cancel is closed it has the
	// migration cancelled, and returns what came of that. An error that wraps control.ErrNoResult
	// means that the outcome is not known, any other that nothing was begun.
	Migrate func(ctx context.Context, cancel <-chan struct{}, uuid, to string, report func(control.Progress)) (*control.Result, error)
	// Here says whether the guest still is one that is to leave.
	Here func(ctx context.Context, uuid string) (bool, error)
	// Became says what has become of a guest whose migration to a host began then, and of which the
	// outcome is not known: control.Moved, or control.Failed if it has stayed here, nothing is under way
	// with it any more, and no part of it is elsewhere. An error means that nobody can tell.
	Became func(ctx context.Context, uuid, to string, began time.Time) (outcome string, err error)
	// Lost says why a host can't take any guest now, after one has failed there; nil: it can.
	Lost func(ctx context.Context, host string) error
	// Told is told what happens, in order.
	Told func(Event)
}

// Event is one thing that has happened: a guest's migration gets on, or has ended, or a host is given
// up. The last of each guest that is to leave has a Result and no Next.
type Event struct {
	Guest string `json:"guest,omitempty"`
	UUID  string `json:"uuid,omitempty"`
	To    string `json:"to,omitempty"` // empty: nothing was begun, and nothing will be

	Progress *control.Progress `json:"progress,omitempty"`
	Result   *control.Result   `json:"result,omitempty"`
	Next     string            `json:"next,omitempty"` // host for which the guest is tried next

	Host string `json:"host,omitempty"`
	Lost string `json:"lost,omitempty"` // why no guest goes to Host any more
}

// run is an evacuation under way. All of it but what waits for an answer happens on one goroutine,
// which happened hands it to.
type run struct {
	*Evacuation
	Mover
	ctx      context.Context
	happened chan func()
	waits    int // goroutines that wait for an answer
	stopping bool
}

// Run moves the guests until each is settled. When stop is closed it begins no other migration, lets
// those end in which the destination takes over, and has the others cancelled. When ctx ends nothing
// is waited for, and what was under way is unknown.
func (e *Evacuation) Run(ctx context.Context, stop <-chan struct{}, with Mover) *Report {
	began := time.Now()
	r := &run{Evacuation: e, Mover: with, ctx: ctx, happened: make(chan func())}
	heed := func() { // before anything begins, and before it is told what came of it
		select {
		case <-stop:
			stop = nil
			r.stop()
		default:
		}
	}
	for {
		heed()
		r.begin()
		if r.waits == 0 {
			return e.report(time.Since(began))
		}
		select {
		case now := <-r.happened:
			heed()
			now()
		case <-stop:
		}
	}
}

// wait has ask run on a goroutine of its own, and then, with what it has found out, what it returns.
func (r *run) wait(ask func() (then func())) {
	r.waits++
	go func() {
		then := ask()
		r.happened <- func() {
			r.waits--
			then()
		}
	}()
}

// begin begins as many migrations as may be under way at once.
func (r *run) begin() {
	if r.stopping {
		return
	}
	var under []*move
	for _, m := range r.moves {
		if m.state == moving {
			under = append(under, m)
		}
	}
	for _, m := range r.moves {
		if len(under) < r.Parallel && m.state == waiting && m.to.mayBegin() && m.joins(under) {
			under = append(under, m)
			r.migrate(m)
		}
	}
}

func (r *run) migrate(m *move) {
	h := m.to
	h.moving++
	r.pace.tick(r.Evacuation)
	m.took = work{}
	m.state, m.began, m.progress = moving, time.Now(), control.Progress{Phase: control.PhaseConnect}
	m.cancel, m.asked = make(chan struct{}), false
	m.tried = append(m.tried, h)
	r.progress(m)
	r.wait(func() func() {
		result, err := r.Migrate(r.ctx, m.cancel, m.UUID, h.name, func(p control.Progress) {
			r.happened <- func() {
				r.pace.tick(r.Evacuation)
				m.progress = p
				r.progress(m)
			}
		})
		return func() {
			r.pace.tick(r.Evacuation)
			h.moving--
			r.ended(m, result, err)
		}
	})
}

func (r *run) progress(m *move) {
	p := m.progress
	r.Told(Event{Guest: m.Name, UUID: m.UUID, To: m.to.name, Progress: &p})
}

// ended is told how a migration did.
func (r *run) ended(m *move, result *control.Result, err error) {
	if err != nil {
		result = r.nothing(m, control.Failed, err.Error())
		result.Cause, result.Destination = err.Error(), m.to.name
		switch {
		case errors.Is(err, control.ErrNoResult):
			result.Outcome = control.Unknown
		case m.asked: // before it had begun
			result.Outcome = control.Cancelled
		}
	}
	m.tries = append(m.tries, Try{m.to.name, result.Outcome, result.Message, time.Since(m.began), result.Downtime})
	switch {
	case result.Outcome == control.Moved:
		r.pace.moved(m)
		r.settle(m, m.to, result)
	case result.Outcome == control.Cancelled: // by whoever cancels it: he does not want it elsewhere either
		r.settle(m, m.to, result)
		m.leave()
	case result.Outcome == control.Failed, err != nil:
		r.doubt(m, result)
	default: // the guest may be there, and take its memory
		r.settle(m, m.to, result)
		r.doubt(m, nil)
	}
}

// nothing is the result of a guest for which this host's daemon has none.
func (r *run) nothing(m *move, outcome, message string) *control.Result {
	return &control.Result{Outcome: outcome, Message: message, Guest: m.Name, UUID: m.UUID, Source: r.Source}
}

// settle is the end of a guest. It was tried last at a host, or, if that is nil, at none.
func (r *run) settle(m *move, at *host, result *control.Result) {
	m.state, m.outcome, m.message = settled, result.Outcome, result.Message
	e := Event{Guest: m.Name, UUID: m.UUID, Result: result}
	if at != nil {
		e.To = at.name
	}
	r.Told(e)
}

// Last phases: the destination takes over, or has done so, and nothing can be called back.
var last = []string{control.PhasePost, control.PhaseFinish, control.PhaseConfirm, control.PhaseDone}

func (r *run) stop() {
	r.stopping = true
	for _, m := range r.moves {
		switch m.state {
		case waiting:
			m.leave()
			r.settle(m, nil, r.nothing(m, control.Cancelled, fmt.Sprintf("guest %s stays on %s: cancelled before its migration began", m.Name, r.Source)))
		case moving:
			if !m.asked && !slices.Contains(last, m.progress.Phase) {
				m.asked = true
				close(m.cancel)
			}
		}
	}
}
