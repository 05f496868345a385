package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/proxy/control"
)

// evacuation is one from the command line until its exit status.
type evacuation struct {
	io      streams
	o       *evacuateOptions
	client  *control.Client
	request func(guest, peer string) (*control.MigrateRequest, error) // as the flags have it
	view    evacuationView
}

func (v *evacuation) run(ctx context.Context) error {
	v.view = newEvacuationView(v.io, v.o.migrate.json)
	planning, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	what, err := v.look(planning)
	if planning.Err() != nil {
		v.view.note("interrupted; nothing was moved")
		return ended(exitCancelled)
	}
	if err != nil {
		return notAsked(err)
	}
	stop()
	e := evacuate.New(*what)
	p := e.Plan()
	v.view.plan(p)
	switch {
	case v.o.migrate.dryRun && len(p.Staying) > 0:
		return failed(nil)
	case v.o.migrate.dryRun:
		return nil
	case len(p.Leaving) > 0 && !v.o.yes && !confirmed(v.io, fmt.Sprintf("Move %s now? [y/N] ", count(len(p.Leaving), "guest"))):
		v.view.note("nothing was moved")
		return ended(exitCancelled)
	}
	r := v.move(ctx, e)
	v.view.report(r)
	return ended(exitOf(r.Outcome))
}

// confirmed asks at the terminal.
func confirmed(io streams, question string) bool {
	fmt.Fprint(io.err, question)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true
	}
	return false
}

// move has the guests moved, until Ctrl-C says otherwise.
func (v *evacuation) move(ctx context.Context, e *evacuate.Evacuation) *evacuate.Report {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	cancel := make(chan struct{})
	defer untilCancelled(cancel, leave, v.view.note, "each guest is safe: here, or at the destination that is taking it over")()
	silence := newSilence(v.view.note)
	defer silence.stop()
	stalled := make(map[string]bool) // guests whose migration makes no progress
	decided := make(map[string]int)  // how many decisions about a migration were told, by guest and host
	return e.Run(ctx, cancel, evacuate.Mover{
		Migrate: func(ctx context.Context, cancel <-chan struct{}, uuid, to string, report func(control.Progress)) (*control.Result, error) {
			req, err := v.request(uuid, to)
			if err != nil {
				return nil, err
			}
			return v.client.Migrate(ctx, cancel, req, report)
		},
		Here: v.here,
		Lost: v.lost,
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

// here says whether a guest still is one that is to leave.
func (v *evacuation) here(ctx context.Context, uuid string) (bool, error) {
	ctx, done := patiently(ctx)
	defer done()
	all, err := v.client.Guests(ctx)
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

// lost says why a host can't take guests.
func (v *evacuation) lost(ctx context.Context, host string) error {
	ctx, done := patiently(ctx)
	defer done()
	report, err := v.client.Check(ctx, &control.CheckRequest{Peers: []string{host}})
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
