package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// here says whether a guest still is one that is to leave. A daemon that is away is waited for as long
// as going has not ended.
func (v *evacuation) here(ctx, going context.Context, uuid string) (bool, error) {
	ctx, done := patiently(ctx)
	defer done()
	all, err := asked(going, &v.daemon, func() (*control.Guests, error) { return v.client.Guests(ctx) })
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
// settled that, and history had the session already, which it notes within a second or so.
func (v *evacuation) became(ctx context.Context, uuid, to string, began time.Time) (outcome string, err error) {
	ctx, done := patiently(ctx)
	defer done()
	req, err := v.request(uuid, to)
	if err != nil {
		return "", err
	}
	again := time.NewTicker(askDaemonEvery)
	defer again.Stop()
	for {
		under, err := v.underWay(ctx, uuid)
		if err == nil && !under { // now libvirt's word is the younger one
			under, err = v.hasJob(ctx, req)
		}
		switch {
		case err != nil:
			past, unread := v.client.History(ctx, &control.HistoryQuery{Guest: uuid})
			if unread == nil && slices.ContainsFunc(past.Sessions, func(r control.SessionRecord) bool {
				return r.Direction == control.Outgoing && r.Peer == to && r.Outcome == control.Moved && r.Started.After(began)
			}) {
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
	st, err := asked(ctx, &v.daemon, func() (*control.Status, error) { return v.client.Status(ctx) })
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
	p, err := asked(ctx, &v.daemon, func() (*control.Plan, error) {
		return v.client.Plan(ctx, &control.PlanRequest{MigrateRequest: *req, Unmeasured: true})
	})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(p.Findings, func(f control.Finding) bool { return f.Check == "libvirt" && f.Result == control.ResultError }), nil
}
