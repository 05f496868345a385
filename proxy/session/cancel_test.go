package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

func TestCancel(t *testing.T) {
	r := NewRegistry(10, 10)
	add := func(info stream.Info, direction string) *Entry {
		e, err := r.Add(info, direction)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const id, uuid = "00112233445566778899aabbccddeeff", "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb"
	e := add(stream.Info{ID: id, Work: WorkMigration, Guest: "web1", UUID: uuid, Peer: "host-b"}, control.Outgoing)
	add(stream.Info{ID: "1", Work: WorkLibvirt, Guest: "web1", Peer: "host-b"}, control.Outgoing) // carries none
	add(stream.Info{ID: "2", Work: WorkSteered, Guest: "db1", UUID: uuid[:35] + "c", Peer: "host-b"}, control.Incoming)
	add(stream.Info{ID: "3", Work: WorkSteered, Guest: "db1", UUID: uuid[:35] + "d", Peer: "host-c"}, control.Incoming)
	why := Cancelled("host-a")

	for guest, words := range map[string]string{
		"web1": "only beginning", "web2": ErrNoMigration.Error(), "db1": "name one of them, 2 or 3", "": ErrNoMigration.Error(),
	} {
		if _, err := r.Cancel(t.Context(), guest, why); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", guest, err, words)
		}
	}
	e.NoCancel("it is %s", "too late")
	if _, err := r.Cancel(t.Context(), "web1", why); err == nil || err.Error() != "it is too late" {
		t.Errorf("refused: %v", err)
	}
	asked := 0
	e.OnCancel(func(_ context.Context, c *stream.Cause) error {
		if asked++; c != why {
			t.Errorf("asked for %v", c)
		}
		return nil
	})
	// A peer can cancel what was opened with it, and nothing else.
	for _, c := range []struct{ id, peer string }{{id, "host-c"}, {"web1", "host-b"}, {uuid, "host-b"}, {"2", "host-b"}, {"1", "host-b"}, {"", "host-b"}} {
		if err := r.CancelSession(t.Context(), c.id, c.peer, why); !errors.Is(err, ErrNoMigration) {
			t.Errorf("%q by %s: %v", c.id, c.peer, err)
		}
	}
	if err := r.CancelSession(t.Context(), id, "host-b", why); err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	soon, stop := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, errors.New("patience"))
	defer stop()
	if _, err := r.Cancel(soon, "web1", why); err == nil || !strings.Contains(err.Error(), "has not ended yet: patience") {
		t.Errorf("without an end: %v", err)
	}
	for i, name := range []string{id, uuid, strings.ToUpper(uuid)} {
		if r.Cancel(soon, name, why); asked != 3+i {
			t.Errorf("%q is not found", name)
		}
	}
	r.End(e, control.Cancelled, why.Code, why.Error())
	if _, err := r.Cancel(t.Context(), "web1", why); !errors.Is(err, ErrNoMigration) {
		t.Errorf("after its end: %v", err)
	}
}

// Whoever cancels is told how it ended, which may be otherwise.
func TestCancelTellsTheEnd(t *testing.T) {
	r := NewRegistry(10, 10)
	e, err := r.Add(stream.Info{ID: "1", Work: WorkMigration, Guest: "web1", Peer: "host-b"}, control.Outgoing)
	if err != nil {
		t.Fatal(err)
	}
	e.OnCancel(func(context.Context, *stream.Cause) error {
		go r.End(e, control.Moved, stream.CodeDone, "")
		return nil
	})
	if st, err := r.Cancel(t.Context(), "web1", Cancelled("host-a")); err != nil || st.Outcome != control.Moved || st.Guest != "web1" {
		t.Errorf("%+v, %v", st, err)
	}
}
