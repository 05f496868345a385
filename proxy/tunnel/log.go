package tunnel

import (
	"time"

	"github.com/rs/zerolog"
)

// Log is the line of a connection that has ended.
func (r Report) Log(log zerolog.Logger) {
	e, text := log.Info(), "connection ended"
	if r.Err != nil {
		e, text = log.Warn().Err(r.Err), "connection failed"
	}
	e = e.Int64("connection", r.Number).Str("from", r.From)
	if r.Path != "" {
		e = e.Str("path", string(r.Path))
	}
	if r.Version != "" {
		e = e.Str("tls", r.Version).Str("suite", r.Suite)
	}
	if r.Command != "" {
		e = e.Str("command", r.Command)
	}
	e.Int64("sent", r.Sent).Int64("received", r.Received).Float64("seconds", r.Took.Round(time.Millisecond).Seconds()).Msg(text)
}
