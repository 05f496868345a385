package session

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/stream"
)

// One peer can't take the sessions of all, and what this host opens itself is not the peer's.
func TestPeerSessions(t *testing.T) {
	r := NewRegistry(4, 2)
	add := func(peer, work, direction string) (*Entry, error) {
		return r.Add(stream.Info{Peer: peer, Work: work}, direction)
	}
	first, err := add("b", WorkLibvirt, control.Incoming)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ peer, work, direction, refusal string }{
		{"b", WorkMigration, control.Incoming, ""},
		{"b", WorkSteered, control.Incoming, "session limit of b reached (2, limits.peer_sessions)"},
		{"b", WorkMigration, control.Outgoing, ""},
		{"b", WorkClient, control.Incoming, ""}, // clients of that name are others
		{"c", WorkMigration, control.Incoming, "limits.sessions"},
	} {
		_, err := add(c.peer, c.work, c.direction)
		if (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%s %s %s: %v, want %q", c.peer, c.work, c.direction, err, c.refusal)
		}
	}
	r.End(first, control.Failed, stream.CodeLink, "")
	if _, err := add("b", WorkSteered, control.Incoming); err != nil {
		t.Error(err)
	}
}
