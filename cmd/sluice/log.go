package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rs/zerolog"
)

// newLogger writes for a person on a terminal, and JSON lines elsewhere. The journal is told each
// line's level, so that `journalctl -p warning` finds it.
func newLogger(w io.Writer, level string) (zerolog.Logger, error) {
	l, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return zerolog.Nop(), fmt.Errorf("--log-level takes trace, debug, info, warn or error, not %q", level)
	}
	if t, ok := terminalOf(w); ok { // zerolog itself looks for NO_COLOR
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly + ".000", NoColor: !t.moves}
	}
	if f, ok := w.(*os.File); ok && f == os.Stderr {
		if is, err := journal.StderrIsJournalStream(); err == nil && is {
			w = journalWriter{w}
		}
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger(), nil
}

// journalWriter puts a line's priority before it, as systemd reads it from a service's standard
// error (sd-daemon(3)).
type journalWriter struct{ io.Writer }

func (w journalWriter) WriteLevel(l zerolog.Level, p []byte) (int, error) {
	if _, err := w.Write(append([]byte(journalPriority(l)), p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// journalPriority is syslog's for a level.
func journalPriority(l zerolog.Level) string {
	switch l {
	case zerolog.TraceLevel, zerolog.DebugLevel:
		return "<7>"
	case zerolog.WarnLevel:
		return "<4>"
	case zerolog.ErrorLevel:
		return "<3>"
	case zerolog.FatalLevel, zerolog.PanicLevel:
		return "<2>"
	}
	return "<6>"
}
