package session

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// One peer can't take the sessions of all, not by having this host open them either. What this host
// opens of its own accord is not the peer's.
func TestPeerSessions(t *testing.T) {
	r := NewRegistry(4, 2)
	const led = "led"
	add := func(peer, work, direction string) (*Entry, error) {
		if direction == led {
			return r.AddLed(stream.Info{Peer: peer, Work: work})
		}
		return r.Add(stream.Info{Peer: peer, Work: work}, direction)
	}
	first, err := add("b", WorkLibvirt, control.Incoming)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ peer, work, direction, refusal string }{
		{"b", WorkMigration, control.Incoming, ""},
		{"b", WorkSteered, control.Incoming, "session limit of b reached (2, limits.peer_sessions)"},
		{"b", WorkSteered, led, "limits.peer_sessions"},
		{"b", WorkMigration, control.Outgoing, ""},
		{"b", WorkClient, control.Incoming, ""}, // clients of that name are others
		{"c", WorkMigration, control.Incoming, "limits.sessions"},
	} {
		if left := r.Left(c.peer, c.direction); c.work == WorkMigration && (left > 0) != (c.refusal == "") {
			t.Errorf("%s %s: %d are left", c.peer, c.direction, left)
		}
		_, err := add(c.peer, c.work, c.direction)
		if (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%s %s %s: %v, want %q", c.peer, c.work, c.direction, err, c.refusal)
		}
	}
	r.End(first, control.Failed, stream.CodeLink, "")
	if _, err := add("b", WorkSteered, led); err != nil {
		t.Error(err)
	}
}

// A session that this host has opened for a guest because a peer asked does not keep migrations of
// the guest away, and is not what an operator means by the guest.
func TestLed(t *testing.T) {
	r := NewRegistry(10, 10)
	info := stream.Info{Work: WorkSteered, Guest: "web1", UUID: "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb", Peer: "b"}
	info.ID = "1"
	led, err := r.AddLed(info)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Cancel(t.Context(), "web1", Cancelled("a")); !errors.Is(err, ErrNoMigration) {
		t.Errorf("cancelled by the guest's name: %v", err)
	}
	led.OnCancel(func(context.Context, *stream.Cause) error { return errors.New("asked") })
	if err := r.CancelSession(t.Context(), "1", "b", Cancelled("b")); err == nil || err.Error() != "asked" {
		t.Errorf("cancelled by its ID: %v", err)
	}
	info.ID, info.Peer = "2", "c"
	if _, err := r.Add(info, control.Outgoing); err != nil {
		t.Error(err)
	}
	info.ID, info.Peer = "3", "b"
	if _, err := r.AddLed(info); err == nil || !strings.Contains(err.Error(), "is already being migrated: session 2 with c") {
		t.Errorf("beside a migration that goes on: %v", err)
	}
}
