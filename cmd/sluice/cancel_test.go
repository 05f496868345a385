package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// A daemon that hangs is left with a third Ctrl-C, and no claim is made. What comes at the same
// moment as the first counts as the same.
func TestCtrlCAgain(t *testing.T) {
	t.Parallel()
	term := onScreen(t, 80, 24, "", "migrate", "hangs", "host-b", "--socket", startStandin(t))
	term.await("42%")
	term.tmux("send-keys", "C-c", "C-c") // at once, as timeout(1) signals
	term.await("cancelling")
	time.Sleep(sameWish + 100*time.Millisecond) // a person's second one: the time between them is what is tested
	if strings.Contains(term.shown(), "outcome") {
		t.Errorf("two at once are taken for two:\n%s", term.shown())
	}
	term.ctrlC()
	term.await("for 10s more at the most")
	term.ctrlC()
	if code := term.wait(); code != exitUnknown {
		t.Errorf("exit status %d, want %d", code, exitUnknown)
	}
	if out := term.shown(); !strings.Contains(out, "interrupted three times") || !strings.Contains(out, "look where hangs runs") {
		t.Errorf("the terminal shows\n%s", out)
	}
}

// After a second Ctrl-C the outcome is still told if it comes in time.
func TestCtrlCTwice(t *testing.T) {
	t.Parallel()
	term := onScreen(t, 80, 24, "", "migrate", "lingers", "host-b", "--socket", startStandin(t))
	term.await("42%")
	term.ctrlC()
	term.await("cancelling")
	time.Sleep(sameWish + 100*time.Millisecond) // a person's second one: the time between them is what is tested
	term.ctrlC()
	term.await("for 10s more at the most")
	if code := term.wait(); code != exitCancelled {
		t.Errorf("exit status %d, want %d:\n%s", code, exitCancelled, term.shown())
	}
}

func standinCancel(_ context.Context, req *control.CancelRequest) (*control.CancelReply, error) {
	r := &control.CancelReply{Session: "s-1", Guest: req.Guest, Peer: "host-b", Direction: control.Outgoing, Outcome: control.Cancelled}
	switch req.Guest {
	case "comes":
		r.Direction = control.Incoming
	case "moved":
		r.Outcome = control.Moved
	case "fails":
		r.Outcome, r.Cause = control.Failed, "host-b: no \x1b[31mspace"
	case "late":
		return nil, &control.Error{Code: http.StatusConflict, Message: "host-b is taking guest late over, which can't be cancelled any more"}
	}
	return r, nil
}
