package session

import (
	"github.com/rs/zerolog"
	"github.com/virt-sluice/sluice/stream"
)

// Log is a logger that says which session it is about.
func Log(log zerolog.Logger, info stream.Info, direction string) zerolog.Logger {
	c := log.With().Str("session", info.ID).Str("work", info.Work).Str("direction", direction).
		Str("peer", info.Peer).Str("address", info.Address)
	if info.Guest != "" {
		c = c.Str("guest", info.Guest)
	}
	return c.Logger()
}

// EndLogged is End, and logs how the session ended.
func (r *Registry) EndLogged(e *Entry, log zerolog.Logger, outcome string, cause *stream.Cause) {
	words := ""
	event := log.Info()
	if !cause.Done() {
		words = cause.Error()
		event = log.Warn().Str("code", cause.Code).Str("cause", words)
	}
	r.End(e, outcome, cause.Code, words)
	event.Str("outcome", outcome).Msg("session ended")
}
