package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rs/zerolog"
)

// newLogger writes for a person on a terminal, entries to the journal if that takes standard error,
// and JSON lines elsewhere.
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
			w = journalWriter{journal.Send, w}
		}
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger(), nil
}
