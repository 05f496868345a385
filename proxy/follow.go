package proxy

import (
	"context"

	"github.com/virt-sluice/sluice/proxy/control"
)

// followSession tells a caller of the control socket how far a session is.
func (d *Daemon) followSession(ctx context.Context, name string, report func(control.Progress)) (*control.SessionStatus, error) {
	st, err := d.Sessions.Follow(ctx, name, report)
	if st != nil || err != nil {
		return st, err
	}
	if c := d.earlierWith(ctx, name); c != nil {
		return c.Follow(ctx, name, report)
	}
	r, err := d.findSession(ctx, name)
	if err != nil {
		return nil, err
	}
	return &r.SessionStatus, nil
}
