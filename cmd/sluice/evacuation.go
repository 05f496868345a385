package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

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
		Migrate: func(ctx context.Context, cancel <-chan struct{}, uuid, to string, report func(control.Progress)) (*control.Result, error) {
			req, err := v.request(uuid, to)
			if err != nil {
				return nil, err
			}
			return asked(going, &v.daemon, func() (*control.Result, error) { return v.client.Migrate(ctx, cancel, req, report) })
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

// lost says why a host can't take guests.
func (v *evacuation) lost(ctx context.Context, host string) error {
	ctx, done := patiently(ctx)
	defer done()
	report, err := asked(ctx, &v.daemon, func() (*control.Report, error) {
		return v.client.Check(ctx, &control.CheckRequest{Peers: []string{host}})
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
