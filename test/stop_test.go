package test

import (
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// stopped waits for the end of a daemon that was asked to stop.
func (d *daemon) stopped() {
	d.s.t.Helper()
	if status := d.waitExit(30 * time.Second); status != 0 {
		d.s.t.Errorf("sluice on %s ended with status %d", d.host.Name, status)
	}
	// What is known of guests that came is for the next daemon, and so is what is not settled of
	// those that left.
	left, _, _ := d.s.run(d.host, "ls", "-A", "--ignore=arrivals", "--ignore=disks", "--ignore=departures", "/run/sluice")
	unsettled, _, _ := d.s.run(d.host, "ls", "-A", "/run/sluice/departures")
	if left += unsettled; left != "" {
		d.s.t.Errorf("sluice on %s left in its folder: %s", d.host.Name, left)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	other := s.guest(lab.GuestSpec{Name: "other", MemoryMiB: 16})
	m := a.migrate(g.Name, "--bandwidth", "16")
	m.halfway()

	b.signal(syscall.SIGTERM)
	b.logged("no new sessions")
	r := a.migrate(other.Name).stays(control.Failed, 1, "host-b: ", "is stopping and accepts no new sessions")
	if r.Carried != 0 {
		t.Errorf("%d bytes were carried", r.Carried)
	}
	a.signal(syscall.SIGTERM)
	a.logged("no new sessions")
	// It is no use to wait with what the daemon refuses at once.
	refusal := a.migrate(other.Name).want(control.Failed, 1)
	says(t, "the message", refusal.Message, "is stopping and accepts no new sessions")
	if !a.status().Draining || !b.status().Draining {
		t.Error("status does not show that they drain")
	}

	r = m.want(control.Moved, 0)
	says(t, "the message", r.Message, "runs on host-b")
	a.stopped()
	b.stopped()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	s.onlyOn(other, s.A)
}

func TestStopSource(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	a.signal(syscall.SIGTERM)
	a.logged("no new sessions")
	a.signal(syscall.SIGTERM)
	r, status := m.wait()
	if r.Outcome == control.Moved || status == 0 || status == 4 {
		t.Errorf("exit status %d: %s", status, r.Message)
	}
	says(t, "the message", r.Message, "goes on running on host-a", "host-a: ", "the daemon is stopping")
	a.stopped()
	says(t, "host-b", b.ended().Cause, "host-a: ", "the daemon is stopping")
	s.onlyOn(g, s.A)
}

func TestStopDestination(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	b.signal(syscall.SIGTERM)
	b.logged("no new sessions")
	b.signal(syscall.SIGTERM)
	m.stays(control.Failed, 1, "host-b: ", "the daemon is stopping")
	b.stopped()
	says(t, "host-a", a.ended().Cause, "host-b: ", "the daemon is stopping")
	s.onlyOn(g, s.A)
}

func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	s, _, b, g, m := underWay(t, conf{limits: patience + "drain_timeout = \"1s\"\n"})
	b.signal(syscall.SIGTERM)
	m.stays(control.Failed, 1, "host-b: ", "the daemon is stopping")
	b.stopped()
	s.onlyOn(g, s.A)
}
