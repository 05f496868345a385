package main

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rs/zerolog"
)

// The journal gets an event as one entry, under names of sluice's own, and by standard error what
// its socket does not take. Its own part is tried in test/packages.
func TestJournalEntries(t *testing.T) {
	var out bytes.Buffer
	var broken error
	var text string
	var priority journal.Priority
	var fields map[string]string
	log := zerolog.New(journalWriter{stderr: &out, send: func(m string, p journal.Priority, f map[string]string) error {
		text, priority, fields = m, p, f
		return broken
	}}).With().Timestamp().Logger()

	log.Warn().Str("guest", "web 1").Str("priority", "NORMAL").Int("caller_pid", 7).Strs("options", []string{"--live", "a\nb"}).Str("cause", "").Bool("fenced", true).Msg("session ended")
	if want := `session ended caller_pid=7 cause= fenced=true guest="web 1" options=["--live","a\nb"] priority=NORMAL`; text != want {
		t.Errorf("the text is\n%s\nwant\n%s", text, want)
	}
	if want := (map[string]string{"SYSLOG_IDENTIFIER": "sluice", "SLUICE_GUEST": "web 1", "SLUICE_PRIORITY": "NORMAL", "SLUICE_CALLER_PID": "7", "SLUICE_OPTIONS": `["--live","a\nb"]`, "SLUICE_CAUSE": "", "SLUICE_FENCED": "true"}); !maps.Equal(fields, want) {
		t.Errorf("fields %q, want %q", fields, want)
	}
	for level, want := range map[zerolog.Level]journal.Priority{zerolog.DebugLevel: 7, zerolog.InfoLevel: 6, zerolog.WarnLevel: 4, zerolog.ErrorLevel: 3} {
		if log.WithLevel(level).Msg("m"); priority != want || text != "m" {
			t.Errorf("%v is %q with priority %d, want %d", level, text, priority, want)
		}
	}
	if out.Len() > 0 {
		t.Errorf("written is %s", &out)
	}
	broken = errors.New("no socket")
	log = log.Output(journalWriter{stderr: &out, send: func(string, journal.Priority, map[string]string) error { return broken }})
	log.Error().Msg("e")
	if want := "<3>{\"level\":\"error\","; !bytes.HasPrefix(out.Bytes(), []byte(want)) || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Errorf("written is %s, want %s…", &out, want)
	}
}
