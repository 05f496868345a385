package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/virt-sluice/sluice/internal/evacuate"
	"github.com/virt-sluice/sluice/proxy/control"
)

// plansAtOnce is how many guests are planned at once. Each takes one of libvirtd's workers.
const plansAtOnce = 4

// looksBack is how many sessions that ended tell how long a guest's start takes.
const looksBack = 50

// look finds out what there is to be decided about: guests, destinations, and each guest's plan at
// each of them.
func (v *evacuation) look(ctx context.Context) (*evacuate.Options, error) {
	asking, done := patiently(ctx)
	defer done()
	all, err := v.client.Guests(asking)
	if err != nil {
		return nil, err
	}
	st, err := v.daemon.serves(asking)
	if err != nil {
		return nil, err
	}
	o := &evacuate.Options{Source: st.Name, Parallel: v.o.atOnce, Apart: v.o.migrate.bandwidth > 0}
	guests, err := v.guests(all.Guests, st, o)
	if err != nil || len(guests) == 0 {
		return o, err
	}
	if err := v.hosts(asking, st, o); err != nil {
		return nil, err
	}
	if past, err := v.client.History(asking, &control.HistoryQuery{Limit: looksBack}); err == nil { // it only helps
		o.Usual = evacuate.Usual(past.Sessions)
	}
	v.view.note(fmt.Sprintf("planning %s for %s; that takes some seven seconds for each guest, %d at once", count(len(guests), "guest"), count(len(o.Hosts), "host"), plansAtOnce))
	o.Guests = make([]*evacuate.Guest, len(guests))
	var plans errgroup.Group
	plans.SetLimit(plansAtOnce)
	for i, g := range guests {
		plans.Go(func() error {
			o.Guests[i] = v.planned(ctx, g, o.Hosts, i)
			return nil
		})
	}
	plans.Wait()
	return o, nil
}

// guests are those of all that are to leave. One that is on its way here has its QEMU here already; st
// is younger than the list, so that it has a session still, or has come.
func (v *evacuation) guests(all []control.Guest, st *control.Status, o *evacuate.Options) (some []control.Guest, err error) {
	matched := false
	for _, g := range all {
		if !v.o.wants(g) {
			continue
		}
		matched = true
		comes := slices.ContainsFunc(st.Sessions, func(s control.SessionStatus) bool { return s.Direction == control.Incoming && s.UUID == g.UUID })
		switch {
		case comes:
			v.view.note(fmt.Sprintf("guest %s is on its way here, and is left out", g.Name))
		case g.Active != v.o.migrate.offline:
			some = append(some, g)
		case !g.Active:
			o.Off = append(o.Off, g.Name)
		}
	}
	if !matched && v.o.guests != "" {
		return nil, control.WrongUse("no guest on %s has a name that matches %q; `virsh list --all` shows them", o.Source, v.o.guests)
	}
	return some, nil
}

// hosts finds out which destinations can take guests at all.
func (v *evacuation) hosts(ctx context.Context, st *control.Status, o *evacuate.Options) error {
	names := v.o.to
	if names == nil {
		for _, p := range st.Peers {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%s knows no host that guests could go to: add [peers.NAME] to the configuration, or name hosts for which a pattern stands there (--to)", o.Source)
	}
	report, err := asked(ctx, &v.daemon, func() (*control.Report, error) {
		return v.client.Check(ctx, &control.CheckRequest{Peers: slices.Clone(names)})
	})
	if err != nil {
		return err
	}
	o.Unusable = unusable(report)
	for _, p := range report.Peers {
		if p.Way != control.WayNone && !slices.Contains(o.Hosts, p.Name) { // two of --to may be one
			o.Hosts = append(o.Hosts, p.Name)
		}
	}
	if len(o.Hosts) > 0 {
		return nil
	}
	errs := []error{fmt.Errorf("no host can take guests from %s", o.Source)}
	for _, r := range o.Unusable {
		errs = append(errs, fmt.Errorf("%s: %s", r.Host, r.Text))
	}
	return errors.Join(errs...)
}

// planned is a guest with its plan at each host. It is measured once, and guest by guest at another
// host first, so that the way to each is measured as well.
func (v *evacuation) planned(ctx context.Context, g control.Guest, hosts []string, first int) *evacuate.Guest {
	all, measured := &evacuate.Guest{Name: g.Name, UUID: g.UUID}, false
	for i := range hosts {
		w := evacuate.Way{Host: hosts[(first+i)%len(hosts)]}
		var req *control.MigrateRequest
		if req, w.Err = v.request(g.UUID, w.Host); w.Err == nil {
			ctx, done := patiently(ctx)
			w.Plan, w.Err = asked(ctx, &v.daemon, func() (*control.Plan, error) {
				return v.client.Plan(ctx, &control.PlanRequest{MigrateRequest: *req, Unmeasured: measured})
			})
			done()
		}
		measured = measured || w.Err == nil && w.Plan.Estimate != nil
		all.Ways = append(all.Ways, w)
	}
	return all
}
