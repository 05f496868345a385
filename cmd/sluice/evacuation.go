package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/proxy/control"
)

// evacuation is one from the command line until its exit status.
type evacuation struct {
	io      streams
	o       *evacuateOptions
	client  *control.Client
	daemon  daemonLife
	request func(guest, peer string) (*control.MigrateRequest, error) // as the flags have it
	view    evacuationView
}

// run has one owner of signals from its beginning to its end, so that none is lost in between.
func (v *evacuation) run(ctx context.Context) error {
	v.view = newEvacuationView(v.io, v.o.migrate.json)
	v.daemon = daemonLife{client: v.client, note: v.view.note}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	going, interrupt := context.WithCancel(ctx)
	defer interrupt()
	var moving atomic.Bool // else there is nothing to wait for
	defer untilCancelled(interrupt, leave, func(text string) {
		if moving.Load() {
			v.view.note(text)
		}
	}, "each guest is safe: here, or at the destination that is taking it over")()
	what, err := v.look(going)
	switch {
	case going.Err() != nil:
		return v.unmoved("interrupted; nothing was moved")
	case err != nil:
		return notAsked(err)
	}
	e := evacuate.New(*what)
	p := e.Plan()
	v.view.plan(p)
	switch {
	case v.o.migrate.dryRun && len(p.Staying) > 0:
		return failed(nil)
	case v.o.migrate.dryRun:
		return nil
	case len(p.Leaving) > 0 && !v.o.yes && !confirmed(going, v.io, fmt.Sprintf("Move %s now? [y/N] ", count(len(p.Leaving), "guest"))):
		return v.unmoved("nothing was moved")
	}
	moving.Store(true)
	r := v.move(ctx, going, e)
	v.view.report(r)
	return ended(exitOf(r.Outcome))
}

func (v *evacuation) unmoved(why string) error {
	v.view.note(why)
	return ended(exitCancelled)
}

// confirmed asks at the terminal, until ctx ends. What was typed before is no answer to the question.
func confirmed(ctx context.Context, io streams, question string) bool {
	unix.IoctlSetInt(int(os.Stdin.Fd()), unix.TCFLSH, unix.TCIFLUSH)
	fmt.Fprint(io.err, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return true
		}
	case <-ctx.Done():
		fmt.Fprintln(io.err)
	}
	return false
}

// move has the guests moved, as long as going has not ended.
func (v *evacuation) move(ctx, going context.Context, e *evacuate.Evacuation) *evacuate.Report {
	silence := newSilence(v.view.note)
	defer silence.stop()
	stalled := make(map[string]bool) // guests whose migration makes no progress
	decided := make(map[string]int)  // how many decisions about a migration were told, by guest and host
	return e.Run(ctx, going.Done(), evacuate.Mover{
		Migrate: func(ctx context.Context, cancel <-chan struct{}, uuid, to string, report func(control.Progress)) (result *control.Result, err error) {
			req, err := v.request(uuid, to)
			if err != nil {
				return nil, err
			}
			err = v.daemon.ask(going, func() error {
				result, err = v.client.Migrate(ctx, cancel, req, report)
				return err
			})
			return result, err
		},
		Here:   func(ctx context.Context, uuid string) (bool, error) { return v.here(ctx, going, uuid) },
		Became: v.became,
		Lost:   func(_ context.Context, host string) error { return v.lost(going, host) },
		Told: func(ev evacuate.Event) {
			silence.broken()
			note := func(text string) { v.view.note(oneLine(ev.Guest + ": " + text)) }
			if p := ev.Progress; p != nil {
				if p.Stalled != "" && !stalled[ev.UUID] { // once for each time that it comes to that
					note(p.Stalled)
				}
				stalled[ev.UUID] = p.Stalled != ""
				decided[ev.UUID+ev.To] = tell(note, p.Decisions, decided[ev.UUID+ev.To])
			}
			if r := ev.Result; r != nil {
				tell(note, r.Decisions, decided[ev.UUID+ev.To])
			}
			v.view.told(ev, e.Standing)
		},
	})
}

// here says whether a guest still is one that is to leave. A daemon that is away is waited for as long
// as going has not ended.
func (v *evacuation) here(ctx, going context.Context, uuid string) (bool, error) {
	ctx, done := patiently(ctx)
	defer done()
	var all *control.Guests
	err := v.daemon.ask(going, func() (err error) {
		all, err = v.client.Guests(ctx)
		return err
	})
	if err != nil {
		return false, err
	}
	for _, g := range all.Guests {
		if g.UUID == uuid {
			return g.Active != v.o.migrate.offline, nil
		}
	}
	return false, nil
}

// became says what has become of a guest whose migration was lost with the daemon. It has stayed if
// neither the next daemon nor libvirt has anything under way with it, and it could leave once more: one
// of which a part is elsewhere, or that may run there, can't. It has moved if the next daemon has
// settled that.
func (v *evacuation) became(ctx context.Context, uuid, to string, began time.Time) (outcome string, err error) {
	ctx, done := patiently(ctx)
	defer done()
	req, err := v.request(uuid, to)
	if err != nil {
		return "", err
	}
	for again := time.NewTicker(askDaemonEvery); ; {
		under, err := v.underWay(ctx, uuid)
		if err == nil && !under { // now libvirt's word is the younger one
			under, err = v.hasJob(ctx, req)
		}
		switch {
		case err != nil:
			if past, unread := v.client.Session(ctx, uuid); unread == nil && past.Outcome == control.Moved && past.Direction == control.Outgoing && past.Peer == to && past.Started.After(began) {
				return control.Moved, nil
			}
			return "", err
		case !under:
			return control.Failed, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// underWay says whether the daemon, or one before it, has anything under way with a guest. Where it
// can't settle what became of one, that is an error.
func (v *evacuation) underWay(ctx context.Context, uuid string) (bool, error) {
	var st *control.Status
	err := v.daemon.ask(ctx, func() (err error) {
		st, err = v.client.Status(ctx)
		return err
	})
	if err != nil {
		return false, err
	}
	for _, l := range st.Leaving {
		switch {
		case l.UUID != uuid:
		case l.Overdue:
			return false, errors.New(l.Last)
		default:
			return true, nil
		}
	}
	return slices.ContainsFunc(st.Sessions, func(s control.SessionStatus) bool { return s.UUID == uuid }) ||
		slices.ContainsFunc(st.Earlier, func(e control.EarlierStatus) bool { return e.Error != "" }), nil // which may have it
}

// hasJob says whether libvirt has a job of a guest that it could migrate otherwise. An error is of one
// that it could not.
func (v *evacuation) hasJob(ctx context.Context, req *control.MigrateRequest) (bool, error) {
	var p *control.Plan
	err := v.daemon.ask(ctx, func() (err error) {
		p, err = v.client.Plan(ctx, &control.PlanRequest{MigrateRequest: *req, Unmeasured: true})
		return err
	})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(p.Findings, func(f control.Finding) bool { return f.Check == "libvirt" && f.Result == control.ResultError }), nil
}

// lost says why a host can't take guests.
func (v *evacuation) lost(ctx context.Context, host string) error {
	ctx, done := patiently(ctx)
	defer done()
	var report *control.Report
	err := v.daemon.ask(ctx, func() (err error) {
		report, err = v.client.Check(ctx, &control.CheckRequest{Peers: []string{host}})
		return err
	})
	if err != nil {
		return err
	}
	if why := unusable(report); len(why) > 0 {
		return errors.New(why[0].Text)
	}
	return nil
}

// unusable is why guests can't go to peers that were checked, one reason for each.
func unusable(report *control.Report) (why []evacuate.Reason) {
	for _, p := range report.Peers {
		if p.Way != control.WayNone {
			continue
		}
		r := evacuate.Reason{Host: p.Name, Text: p.Text}
		for _, f := range report.Findings {
			if f.Peer == p.Name && f.Result == control.ResultError {
				r.Text, r.Remedy = f.Text, f.Remedy
				break
			}
		}
		why = append(why, r)
	}
	return why
}
