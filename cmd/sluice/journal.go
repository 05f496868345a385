package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rs/zerolog"
)

// journalWriter gives the journal one entry an event: its level as the priority, its fields as the
// journal's, with fieldPrefix before their names, and a text that has both, for journalctl. zerolog's
// own writer leaves the names as they are, of which PRIORITY and CODE_FILE have a meaning there, and
// the fields out of the text.
type journalWriter struct {
	send   func(message string, p journal.Priority, fields map[string]string) error
	stderr io.Writer // for what the journal's socket does not take
}

// fieldPrefix is as the journal asks of programs for names of their own (systemd.journal-fields(7)).
const fieldPrefix = "SLUICE_"

func (w journalWriter) WriteLevel(l zerolog.Level, p []byte) (int, error) {
	text, fields, err := journalEntry(p)
	if err == nil {
		err = w.send(text, journalPriority(l), fields)
	}
	if err != nil { // as systemd reads it from a service's standard error (sd-daemon(3))
		line := append([]byte{'<', '0' + byte(journalPriority(l)), '>'}, p...)
		if _, err := w.stderr.Write(line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w journalWriter) Write(p []byte) (int, error) { return w.WriteLevel(zerolog.NoLevel, p) }

// journalEntry is an event, in JSON, as the journal has it.
func journalEntry(event []byte) (text string, fields map[string]string, err error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(event, &values); err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	if _, err := (zerolog.ConsoleWriter{Out: &out, NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName, zerolog.LevelFieldName}}).Write(event); err != nil {
		return "", nil, err
	}
	fields = map[string]string{"SYSLOG_IDENTIFIER": "sluice"}
	for name, raw := range values {
		switch name {
		case zerolog.MessageFieldName, zerolog.LevelFieldName, zerolog.TimestampFieldName:
			continue
		}
		value := string(raw) // of a number, a list or a truth
		if json.Unmarshal(raw, &value) != nil {
			value = string(raw)
		}
		fields[fieldPrefix+strings.ToUpper(name)] = value
	}
	return strings.TrimSpace(out.String()), fields, nil
}

// journalPriority is syslog's for a level.
func journalPriority(l zerolog.Level) journal.Priority {
	switch l {
	case zerolog.TraceLevel, zerolog.DebugLevel:
		return journal.PriDebug
	case zerolog.WarnLevel:
		return journal.PriWarning
	case zerolog.ErrorLevel:
		return journal.PriErr
	case zerolog.FatalLevel, zerolog.PanicLevel:
		return journal.PriCrit
	}
	return journal.PriInfo
}
