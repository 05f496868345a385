package proxy

import (
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/stream"
)

// sessionLog is a logger that says which session it is about.
func (d *Daemon) sessionLog(info stream.Info, direction string) zerolog.Logger {
	c := d.Log.With().Str("session", info.ID).Str("work", info.Work).Str("direction", direction).
		Str("peer", info.Peer).Str("address", info.Address)
	if info.Guest != "" {
		c = c.Str("guest", info.Guest)
	}
	return c.Logger()
}

// endSession logs how a session ended and moves it to the ended ones.
func (d *Daemon) endSession(e *entry, log zerolog.Logger, outcome string, cause *stream.Cause) {
	words := ""
	event := log.Info()
	if !cause.Done() {
		words = cause.Error()
		event = log.Warn().Str("code", cause.Code).Str("cause", words)
	}
	d.Sessions.end(e, outcome, cause.Code, words)
	event.Str("outcome", outcome).Msg("session ended")
}
