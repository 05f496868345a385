package proxy

import (
	"errors"

	"github.com/rs/zerolog"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/stream"
)

// outcomeOf is the outcome of a session without a guest.
func outcomeOf(cause *stream.Cause) string {
	if cause.Done() {
		return ""
	}
	return control.Failed
}

// EndMigration ends a migration that a libvirt client ran. moved says that the guest runs at the
// destination.
func (r *registry) EndMigration(e *entry, log zerolog.Logger, moved bool, cause *stream.Cause) {
	outcome := control.Failed
	switch {
	case moved:
		outcome = control.Moved
		e.setPhase(control.PhaseDone)
	case cause.Code == stream.CodeCancelled:
		outcome = control.Cancelled
	}
	r.EndLogged(e, log, outcome, cause)
}

// ErrStopping is the cause of sessions that the daemon's stop ends.
var ErrStopping = &stream.Cause{Code: stream.CodeShutdown, Text: "the daemon is stopping"}

func asCause(err error) *stream.Cause {
	var c *stream.Cause
	if errors.As(err, &c) {
		return c
	}
	return &stream.Cause{Code: stream.CodeLocal, Text: err.Error()}
}
