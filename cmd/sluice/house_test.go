package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/virt-sluice/sluice/proxy/control"
)

// house is a stand-in's scenario: a host to be emptied. What a guest does is told by its name, as with
// sluice migrate, and its UUID is the same.
func houseGuests(context.Context) (*control.Guests, error) {
	all := &control.Guests{}
	for _, name := range []string{"moves", "fails", "lost", "waits", "busy", "large", "options", "crash", "slow"} {
		all.Guests = append(all.Guests, control.Guest{Name: name, UUID: name, Active: true})
	}
	all.Guests = append(all.Guests, control.Guest{Name: "drafts\x1b[2J", UUID: "drafts"})
	return all, nil
}

// beside is a file beside the stand-in's socket.
func beside(name string) string { return filepath.Join(filepath.Dir(os.Args[1]), name) }

var houseStops atomic.Bool // it has refused a migration for that

// houseStatus makes a file once a caller who was refused is told why.
func houseStatus() *control.Status {
	st := standinStatus()
	if st.Draining = houseStops.Load(); st.Draining {
		os.WriteFile(beside("seen"), nil, 0o600)
	}
	return st
}

// houseMigrate stops the daemon if there is a file for that.
func houseMigrate(ctx context.Context, req *control.MigrateRequest, report func(control.Progress)) (*control.Result, error) {
	if _, err := os.Stat(beside("stops")); err == nil {
		houseStops.Store(true)
		return nil, &control.Error{Code: http.StatusConflict, Message: "host-a is stopping"}
	}
	return standinMigrate(ctx, req, report)
}

// houseCheck finds that guests can go to host-b, and not to any other.
func houseCheck(_ context.Context, req *control.CheckRequest) (*control.Report, error) {
	r := &control.Report{Host: "host-a"}
	for _, name := range req.Peers {
		if name == "host-x" {
			return nil, control.WrongUse("no peer %q is configured on host-a", name)
		}
		v := control.PeerView{Name: name, Way: control.WaySluice}
		if name != "host-b" {
			v.Way = control.WayNone
			r.Findings = append(r.Findings, control.Finding{Peer: name, Result: control.ResultError, Text: name + " does \x1b[31mnot answer", Remedy: "start it"})
		}
		r.Peers = append(r.Peers, v)
	}
	return r, nil
}

// It asks at the terminal, shows all guests in place, and leaves the report.
func TestEvacuationOnScreen(t *testing.T) {
	t.Parallel()
	socket := startStandin(t, "house")
	for _, columns := range []int{60, 80, 120, 200} {
		s := onScreen(t, columns, 24, "", "evacuate", "--guests", "[mf]*", "--to", "host-b", "--socket", socket)
		s.await("Move 2 guests now? [y/N]")
		s.tmux("send-keys", "yes", "Enter")
		if code := s.wait(); code != exitFailed {
			t.Errorf("exit status %d\n%s", code, s.shown())
		}
		s.fits()
		for _, want := range []string{"2 guests can leave host-a", "1 of 2 guests moved from host-a", "fails goes on at host-a", "1 guest has not moved"} {
			if !strings.Contains(strings.Join(strings.Fields(s.shown()), " "), want) {
				t.Errorf("%d columns: no %q on\n%s", columns, want, s.shown())
			}
		}
	}
	s := onScreen(t, 80, 24, "", "evacuate", "--guests", "moves", "--socket", socket)
	s.await("Move 1 guest now? [y/N]")
	s.tmux("send-keys", "Enter")
	if code := s.wait(); code != exitCancelled || !strings.Contains(s.shown(), "nothing was moved") {
		t.Errorf("not confirmed: exit status %d\n%s", code, s.shown())
	}
	s = onScreen(t, 80, 24, "", "evacuate", "--guests", "waits", "--yes", "--socket", socket)
	s.await("memory 42%")
	s.fits()
	for _, want := range []string{"evacuate   42% [", "0 of 1 guest settled  1 under way", "waits  host-b  memory 42%  812 MiB/s  2.34 GiB  3s"} {
		if !strings.Contains(s.shown(), want) {
			t.Errorf("in its midst: no %q on\n%s", want, s.shown())
		}
	}
	s.ctrlC()
	if code := s.wait(); code != exitCancelled {
		t.Errorf("exit status %d", code)
	}
	s.fits()
	for _, want := range []string{"sluice: cancelling; waiting until each guest is safe: here", "waits  host-b  cancelled", "0 of 1 guest moved"} {
		if !strings.Contains(s.shown(), want) {
			t.Errorf("Ctrl-C: no %q on\n%s", want, s.shown())
		}
	}
}

// What is typed while guests are planned is no answer to the question, and Ctrl-C ends it at any
// moment.
func TestEvacuationAsks(t *testing.T) {
	t.Parallel()
	socket := startStandin(t, "house")
	s := onScreen(t, 80, 24, "", "evacuate", "--guests", "slow", "--socket", socket)
	s.await("planning 1 guest")
	s.tmux("send-keys", "y", "Enter")
	s.await("Move 1 guest now? [y/N]")
	s.tmux("send-keys", "n", "Enter")
	if code := s.wait(); code != exitCancelled || !strings.Contains(s.shown(), "nothing was moved") {
		t.Errorf("typed too early: exit status %d\n%s", code, s.shown())
	}
	for _, at := range []string{"planning 1 guest", "Move 1 guest now? [y/N]"} {
		s := onScreen(t, 80, 24, "", "evacuate", "--guests", "slow", "--socket", socket)
		s.await(at)
		s.ctrlC()
		if code := s.wait(); code != exitCancelled || !strings.Contains(s.shown(), "nothing was moved") {
			t.Errorf("Ctrl-C at %q: exit status %d\n%s", at, code, s.shown())
		}
	}
}
