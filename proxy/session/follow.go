package session

import (
	"context"
	"errors"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// followInterval is how often libvirt at the source is asked how far a migration is.
const followInterval = 500 * time.Millisecond

// Follow reports how far the newest live session is that name stands for, until its end, and returns
// what became of it; nil if there is none. An error is that ctx has ended before.
func (r *Registry) Follow(ctx context.Context, name string, report func(control.Progress)) (*control.SessionStatus, error) {
	e := r.newest(name)
	if e == nil {
		return nil, nil
	}
	again := time.NewTicker(followInterval)
	defer again.Stop()
	done := ctx.Done()
	for {
		select {
		case <-e.over:
			return &e.ended, nil
		default:
			report(e.Progress())
		}
		select {
		case <-again.C:
		case <-e.over:
		case <-done:
			if err := context.Cause(ctx); !errors.Is(err, ErrStopping) {
				return nil, err
			}
			done = nil // the session ends as well, and those who follow it are to learn how
		}
	}
}

// newest is the session that began last of those that name stands for and history keeps.
func (r *Registry) newest(name string) (found *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.live {
		st := control.SessionStatus{ID: e.Info.ID, Kind: e.Info.Work, Guest: e.Info.Guest, UUID: e.Info.UUID}
		if st.Is(name) && Remembered(&st) {
			found = e
		}
	}
	return found
}
