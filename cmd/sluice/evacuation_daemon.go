package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

const (
	// daemonPatience is for how long this host's daemon may be away, such as for an upgrade.
	daemonPatience = 5 * time.Minute
	askDaemonEvery = time.Second
)

// daemonLife tells a daemon that is away for a while, or is another by now, from one that refuses.
type daemonLife struct {
	client *control.Client
	note   func(string)

	mu      sync.Mutex
	started time.Time // of the one that served last
	missed  time.Time // since when none serves; zero: one does
}

// asked is the daemon's answer. Where it was not there, or has refused because it stops, one that serves
// is waited for, and asked. What is asked for may be asked twice only if it fails without having begun
// anything, or with control.ErrNoResult.
func asked[T any](ctx context.Context, d *daemonLife, ask func() (T, error)) (answer T, err error) {
	for {
		before := d.last()
		answer, err = ask()
		refused := (*control.Error)(nil)
		switch {
		case err == nil, errors.Is(err, control.ErrNoResult), ctx.Err() != nil:
			return answer, err
		case errors.As(err, &refused) && (refused.Code == http.StatusBadRequest || refused.Code == http.StatusForbidden):
			return answer, err
		}
		if now, away := d.serves(ctx); away != nil || now.Started.Equal(before) {
			return answer, err
		}
	}
}

func (d *daemonLife) last() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.started
}

// serves waits until a daemon serves that is not about to stop.
func (d *daemonLife) serves(ctx context.Context) (*control.Status, error) {
	again := time.NewTicker(askDaemonEvery)
	defer again.Stop()
	for {
		st, err := d.client.Status(ctx)
		if err == nil && !st.Draining {
			d.served(st.Started)
			return st, nil
		}
		if err == nil {
			err = errors.New("it is stopping")
		}
		if d.misses(err) > daemonPatience {
			return nil, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (d *daemonLife) served(started time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.missed.IsZero() {
		d.note("this host's daemon serves again; going on")
	}
	d.started, d.missed = started, time.Time{}
}

// misses notes that no daemon serves, and says for how long that is so.
func (d *daemonLife) misses(why error) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.missed.IsZero() {
		d.missed = time.Now()
		d.note(fmt.Sprintf("this host's daemon does not serve (%v); waiting for it, for %v at the most; nothing else begins until then", why, daemonPatience))
	}
	return time.Since(d.missed)
}
