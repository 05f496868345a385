package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// OnCancel says what begins the session's end when somebody cancels it. An error says why it can't
// be cancelled, and that nothing was done. It takes the place of what was said before.
func (e *Entry) OnCancel(cancel func(context.Context, *stream.Cause) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancel = cancel
}

// NoCancel is OnCancel for a session that can't be cancelled from now on, and says why.
func (e *Entry) NoCancel(format string, args ...any) {
	why := fmt.Errorf(format, args...)
	e.OnCancel(func(context.Context, *stream.Cause) error { return why })
}

// ErrNoMigration means that no session carries a guest.
var ErrNoMigration = errors.New("no migration of this guest is under way")

// Cancel cancels the migration of a guest, by its name, its UUID or the session's ID, and waits for
// the session's end, which may be another than was asked for.
func (r *Registry) Cancel(ctx context.Context, guest string, why *stream.Cause) (control.SessionStatus, error) {
	none := control.SessionStatus{}
	e, err := r.migrationOf(guest)
	if err == nil {
		err = e.cancelFor(ctx, why)
	}
	if err != nil {
		return none, err
	}
	select {
	case <-e.over:
		return e.ended, nil
	case <-ctx.Done():
		return none, fmt.Errorf("the migration of guest %s was told to end, and has not ended yet: %w", e.Info.Guest, context.Cause(ctx))
	}
}

// CancelSession begins the end of one that this host has opened with a peer, for whom it asks.
func (r *Registry) CancelSession(ctx context.Context, id, peer string, why *stream.Cause) error {
	e, err := r.migrationOf(id)
	if err != nil || e.direction != control.Outgoing || e.Info.Peer != peer || e.Info.ID != id {
		return ErrNoMigration // also of another's session
	}
	return e.cancelFor(ctx, why)
}

// migrationOf is the live session that carries a guest.
func (r *Registry) migrationOf(guest string) (found *Entry, err error) {
	id, parseErr := virt.ParseUUID(guest)
	uuid := virt.FormatUUID(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.live {
		switch {
		case e.Info.Work != WorkMigration && e.Info.Work != WorkSteered:
		case e.Info.ID == guest:
			return e, nil
		case e.led && len(e.channels()) == 0: // the guest's QEMU has not come, so it carries none
		case e.Info.Guest == guest, parseErr == nil && e.Info.UUID == uuid:
			if found != nil {
				return nil, fmt.Errorf("two sessions carry a guest %q: name one of them, %s or %s", guest, found.Info.ID, e.Info.ID)
			}
			found = e
		}
	}
	if found == nil {
		return nil, ErrNoMigration
	}
	return found, nil
}

func (e *Entry) cancelFor(ctx context.Context, why *stream.Cause) error {
	e.mu.Lock()
	cancel := e.cancel
	e.mu.Unlock()
	if cancel == nil {
		return fmt.Errorf("the migration of guest %s is only beginning: try again in a moment", e.Info.Guest)
	}
	return cancel(ctx, why)
}

// Cancelled is the cause of a migration that was cancelled on a host.
func Cancelled(on string) *stream.Cause {
	return &stream.Cause{Code: stream.CodeCancelled, Host: on, Text: "the migration was cancelled (`sluice cancel`)"}
}
