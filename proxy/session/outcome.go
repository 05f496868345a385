package session

import (
	"errors"

	"github.com/rs/zerolog"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// OutcomeOf is the outcome of a session without a guest.
func OutcomeOf(cause *stream.Cause) string {
	if cause.Done() {
		return ""
	}
	return control.Failed
}

// EndMigration ends a migration that a libvirt client ran. moved says that the guest runs at the
// destination.
func (r *Registry) EndMigration(e *Entry, log zerolog.Logger, moved bool, cause *stream.Cause) {
	outcome := control.Failed
	switch {
	case moved:
		outcome = control.Moved
		e.SetPhase(control.PhaseDone)
	case cause.Code == stream.CodeCancelled:
		outcome = control.Cancelled
	}
	r.EndLogged(e, log, outcome, cause)
}

// ErrStopping is the cause of sessions that the daemon's stop ends.
var ErrStopping = &stream.Cause{Code: stream.CodeShutdown, Text: "the daemon is stopping"}

func CauseOf(err error) *stream.Cause {
	var c *stream.Cause
	if errors.As(err, &c) {
		return c
	}
	return &stream.Cause{Code: stream.CodeLocal, Text: err.Error()}
}
