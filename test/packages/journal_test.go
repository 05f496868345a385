package packages

import (
	"bufio"
	"encoding/json"
	"strings"
)

// journal looks for what the journal has of the migration of a guest that has left.
func (m *machine) journal(guest string) {
	m.t.Helper()
	m.must("journalctl", "--sync")
	entries := func(matches ...string) (all []map[string]any) {
		m.t.Helper()
		out := m.must(append([]string{"journalctl", "-u", "sluice", "-o", "json"}, matches...)...)
		for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
			var e map[string]any
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				m.t.Fatalf("%s: %v: %s", m.name, err, lines.Text())
			}
			all = append(all, e)
		}
		return all
	}
	audit := entries("SLUICE_AUDIT=migration", "SLUICE_GUEST="+guest)
	if len(audit) != 1 {
		m.t.Fatalf("%s: the journal has %d audit entries of guest %s:\n%s", m.name, len(audit), guest, m.must("journalctl", "-u", "sluice"))
	}
	for field, want := range map[string]string{"PRIORITY": "6", "SLUICE_OUTCOME": "moved", "SLUICE_PEER": "host-b", "SLUICE_UID": "0", "SYSLOG_IDENTIFIER": "sluice", "_TRANSPORT": "journal"} {
		if audit[0][field] != want {
			m.t.Errorf("%s: %s is %v, want %s, in %v", m.name, field, audit[0][field], want, audit[0])
		}
	}
	if text, _ := audit[0]["MESSAGE"].(string); !strings.HasPrefix(text, "migration ended ") || !strings.Contains(text, "guest="+guest) || strings.Contains(text, "\n") {
		m.t.Errorf("%s: the text is %q", m.name, text)
	}
	// The daemon's own field called priority is not the journal's.
	ready := entries("SLUICE_PRIORITY=NORMAL")
	if len(ready) != 1 || ready[0]["PRIORITY"] != "6" {
		m.t.Errorf("%s: the journal has of the daemon's start %v", m.name, ready)
	}
}
