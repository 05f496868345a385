package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/control"
)

// runs is a daemon that drains when it is let, and stops when it must.
type runs struct {
	ready    chan struct{}
	finish   chan struct{} // closed: the sessions under way are over
	draining chan struct{} // closed by Run once it drains
	reloads  chan struct{}
	err      error
}

func newRuns() *runs {
	return &runs{ready: make(chan struct{}), finish: make(chan struct{}), draining: make(chan struct{}), reloads: make(chan struct{})}
}

func (r *runs) Ready() <-chan struct{}    { return r.ready }
func (r *runs) Followed() <-chan struct{} { return nil }

func (r *runs) Run(ctx context.Context, drain <-chan struct{}) error {
	close(r.ready)
	if r.err != nil {
		return r.err
	}
	<-drain
	close(r.draining)
	select {
	case <-r.finish:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *runs) Reload() (*control.Reloaded, error) {
	r.reloads <- struct{}{}
	return nil, errors.New("not good")
}

func (r *runs) Summary() string {
	select {
	case <-r.draining:
		return "drains"
	default:
		return "runs"
	}
}

func start(r *runs) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- runDaemon(context.Background(), r, zerolog.Nop()) }()
	<-r.ready
	return ended
}

func awaitClosed(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal(what)
	}
}

func wantEnd(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the daemon does not end")
		return nil
	}
}

func TestFirstSignalDrains(t *testing.T) {
	r := newRuns()
	ended := start(r)
	syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
	awaitClosed(t, "SIGTERM does not drain", r.draining)
	select {
	case err := <-ended:
		t.Fatalf("ended while sessions lived: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(r.finish)
	if err := wantEnd(t, ended); err != nil {
		t.Error(err)
	}
}

func TestSecondSignalStops(t *testing.T) {
	r := newRuns()
	ended := start(r)
	syscall.Kill(syscall.Getpid(), syscall.SIGINT)
	awaitClosed(t, "SIGINT does not drain", r.draining)
	syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
	if err := wantEnd(t, ended); err != nil {
		t.Errorf("being stopped is a failure: %v", err)
	}
}

// SIGHUP reloads, each time, and neither drains nor stops, whatever comes of it.
func TestHangupReloads(t *testing.T) {
	r := newRuns()
	ended := start(r)
	for range 3 {
		syscall.Kill(syscall.Getpid(), syscall.SIGHUP)
		awaitClosed(t, "SIGHUP does not reload", r.reloads)
	}
	select {
	case <-r.draining:
		t.Error("SIGHUP drains")
	case err := <-ended:
		t.Errorf("SIGHUP ends the daemon: %v", err)
	default:
	}
	syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
	awaitClosed(t, "SIGTERM after SIGHUP does not drain", r.draining)
	close(r.finish)
	if err := wantEnd(t, ended); err != nil {
		t.Error(err)
	}
}

func TestDaemonThatFails(t *testing.T) {
	r := newRuns()
	r.err = errors.New("listen :16514: address already in use")
	err := runDaemon(t.Context(), r, zerolog.Nop())
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitFailed {
		t.Errorf("error %v, want exit status %d", err, exitFailed)
	}
}

// What systemd is told, and when.
func TestSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(10 * time.Second))
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "")
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 256)
		for {
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("systemd is not told %s: %v", want, err)
			}
			if got := string(buf[:n]); strings.Contains(got, want) {
				return
			} else if got != "WATCHDOG=1" {
				t.Fatalf("systemd is told %s, want %s", got, want)
			}
		}
	}
	r := newRuns()
	ended := start(r)
	told("READY=1\nSTATUS=runs")
	told("WATCHDOG=1")
	told("WATCHDOG=1")
	syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
	told("STOPPING=1")
	told("WATCHDOG=1") // a long drain is no hang
	told("STATUS=drains")
	close(r.finish)
	if err := wantEnd(t, ended); err != nil {
		t.Error(err)
	}
}
