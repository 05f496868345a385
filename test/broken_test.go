package test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// slow makes a migration last long enough to be broken halfway: 8 seconds for a guest of 64 MiB.
var slow = []string{"--bandwidth", "8"}

// underWay brings up two daemons, and returns when a guest is halfway from host-a to host-b.
func underWay(t *testing.T, c conf) (s *site, a, b *daemon, g *lab.Guest, m *migration) {
	t.Helper()
	s = newSite(t)
	a, b = s.both(c)
	g = s.guest(lab.GuestSpec{})
	m = a.migrate(g.Name, slow...)
	m.halfway()
	return s, a, b, g, m
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	s.check(m.cmd.Process.Signal(syscall.SIGINT))
	m.stays(control.Cancelled, 3, "host-a", "the caller cancelled the migration")
	sameCause(a, b, "host-a", "the caller cancelled the migration")
	if out, in := a.ended().Outcome, b.ended().Outcome; out != control.Cancelled || in != control.Cancelled {
		t.Errorf("the outcome is %s on host-a and %s on host-b", out, in)
	}
	s.onlyOn(g, s.A)
}

func TestCallerKilled(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	s.check(m.cmd.Process.Kill())
	sameCause(a, b, "host-a", "the caller cancelled the migration")
	s.onlyOn(g, s.A)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	m := a.migrate(g.Name, append(slow, "--timeout", "2")...)
	m.stays(control.Failed, 1, "host-a", "2 seconds", "--timeout")
	sameCause(a, b, "host-a", "2 seconds", "--timeout")
	s.onlyOn(g, s.A)
}

func TestSourceKilled(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	killed := time.Now()
	a.killed()
	// The command can't know what became of the guest.
	r := m.want(control.Unknown, 4)
	says(t, "the message", r.Message, "the daemon ended the connection", "did it crash", "look where g runs")
	says(t, "host-b", b.ended().Cause, "host-b: channel control: ", "host-a", "killed")
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))
	// What a killed daemon leaves of files, the next one clears away. Of history but a second is lost.
	a.start()
	h := a.became(g, control.Unknown)
	says(t, "history on host-a", h.Cause, "the daemon (process", "ended while this was under way")
	s.went(h, control.PhaseConnect, control.PhaseMemory)
	if lost := killed.Sub(h.Ended); lost > 10*time.Second || h.Sent == 0 || h.Asked == nil {
		t.Errorf("history ends %v before the daemon's end: %+v", lost, h)
	}
	s.onlyOn(g, s.A)
	moved(a.migrate(g.Name), g, a, b)
	s.nothingLeft()
}

func TestDestinationKilled(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	b.killed()
	r := m.stays(control.Failed, 1, "host-b", "channel ", "killed")
	if cause := a.ended().Cause; cause != r.Cause {
		t.Errorf("host-a shows the cause\n  %s\nand has told its caller\n  %s", cause, r.Cause)
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))
	b.start()
	s.onlyOn(g, s.A)
	moved(a.migrate(g.Name), g, a, b)
	s.nothingLeft()
}

func TestLinkDown(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{limits: patience + "idle_timeout = \"2s\"\n"})
	s.check(s.CutLink())
	begun := time.Now()
	m.stays(control.Failed, 1, "host-a: channel ", "host-b", "2s", "the link is down, or the host is frozen")
	if took := time.Since(begun); took > 12*time.Second {
		t.Errorf("it took %v to find out", took)
	}
	// Neither can tell the other: each has its own words.
	says(t, "host-a", a.ended().Cause, "host-a: channel ", "host-b", "the link is down, or the host is frozen")
	says(t, "host-b", b.ended().Cause, "host-b: channel ", "host-a", "the link is down, or the host is frozen")
	s.onlyOn(g, s.A)

	s.check(s.RestoreLink())
	moved(a.migrate(g.Name), g, a, b)
	s.nothingLeft()
}

func TestConnectionsReset(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	s.check(s.ResetConnections(s.ctx, 16514))
	m.stays(control.Failed, 1, "channel ", "host-b")
	says(t, "host-a", a.ended().Cause, "channel ", "host-b")
	says(t, "host-b", b.ended().Cause, "channel ", "host-a")
	s.onlyOn(g, s.A)
}

func TestDestinationLibvirtKilled(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL))
	m.stays(control.Failed, 1, "host-b: ", "libvirt", "stopped, or has crashed")
	sameCause(a, b, "host-b: ", "libvirt", "stopped, or has crashed")
	s.check(s.B.StartLibvirtd(s.ctx))
	s.onlyOn(g, s.A)
	moved(a.migrate(g.Name), g, a, b)
	s.nothingLeft()
}

// Where the guest is is known once libvirt has started again.
func TestSourceLibvirtRestarted(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			s, a, b, g, m := underWay(t, conf{})
			s.check(s.A.KillLibvirtd(s.ctx, sig))
			b.ended() // so host-a has noticed
			s.check(s.A.StartLibvirtd(s.ctx))
			m.stays(control.Failed, 1, "host-a: ", "libvirt", "stopped, or has crashed")
			sameCause(a, b, "host-a: ", "libvirt", "stopped, or has crashed")
			s.onlyOn(g, s.A)
			moved(a.migrate(g.Name), g, a, b)
			s.nothingLeft()
		})
	}
}

// While libvirt does not start again nobody can tell whether the guest still runs.
func TestSourceLibvirtGone(t *testing.T) {
	t.Parallel()
	s, _, _, g, m := underWay(t, conf{limits: patience})
	s.check(s.A.KillLibvirtd(s.ctx, syscall.SIGKILL))
	r := m.want(control.Unknown, 4)
	says(t, "the message", r.Message, "left on host-a", "host-a: ", "libvirt", "stopped, or has crashed")
	s.check(s.A.StartLibvirtd(s.ctx))
	s.onlyOn(g, s.A)
}

func TestDestinationQEMUKilled(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	s.killQEMU(g, s.B)
	m.stays(control.Failed, 1, "host-b", "QEMU")
	sameCause(a, b, "host-b", "QEMU")
	s.onlyOn(g, s.A)
}

// A peer that hangs is no different from a link that is down, but that its
// kernel still takes bytes.
func TestDestinationFrozen(t *testing.T) {
	t.Parallel()
	s, _, b, g, m := underWay(t, conf{limits: patience + "idle_timeout = \"2s\"\n"})
	b.signal(syscall.SIGSTOP)
	m.stays(control.Failed, 1, "host-a: channel ", "host-b", "the link is down, or the host is frozen")
	b.signal(syscall.SIGCONT)
	b.ended()
	s.onlyOn(g, s.A)
}

// An outage shorter than the idle limit only delays.
func TestShortOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	m := a.migrate(g.Name, "--bandwidth", "16")
	m.halfway()
	s.check(s.CutLink())
	carried := func() uint64 { return a.live().Sent }
	for before, same := carried(), time.Now(); time.Since(same) < 700*time.Millisecond; {
		if now := carried(); now != before {
			before, same = now, time.Now()
		}
	}
	s.check(s.RestoreLink())
	moved(m, g, a, b)
	s.nothingLeft()
}

// A post-copy whose link breaks leaves a part of the guest on each host, until
// the link is there again and somebody resumes it.
func TestPostCopyLost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: hasty + "idle_timeout = \"1s\"\n"})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DirtyMiB: 16})
	s.check(s.SlowLink(12 << 20)) // post-copy heeds no limit but the link's
	m := a.migrate(g.Name, "--postcopy", "--timeout", "1", "--timeout-postcopy")
	m.until("post-copy", func(p control.Progress) bool { return p.Phase == control.PhasePost })
	// Before the guest's devices have arrived QEMU over there has nothing to
	// keep; and before the pages that an interrupt needs have, emulation waits
	// for them under QEMU's big lock, so that its monitor is dead.
	s.wait("the guest runs on host-b", 20*time.Second, func() bool { return s.virsh(s.B, "domstate", g.Name) == "running" })
	begun := b.live().Received
	s.wait("pages follow", 20*time.Second, func() bool { return b.live().Received > begun+6<<20 })
	s.check(s.CutLink())
	r := m.want(control.Unknown, 4)
	says(t, "the message", r.Message, "post-copy", "host-a", "host-b", "sluice migrate --postcopy-resume g host-b")
	says(t, "the cause", r.Cause, "host-b", "the link is down, or the host is frozen")
	b.ended()
	for _, d := range s.daemons {
		d.waitIdle()
	}
	// libvirt calls it running on host-b, where it waits for pages that don't come.
	for _, h := range s.Hosts() {
		if state := s.virsh(h, "domstate", "--reason", g.Name); !strings.Contains(state, "post-copy failed") {
			t.Errorf("on %s the guest is %s", h.Name, state)
		}
	}

	s.check(s.RestoreLink())
	s.check(s.SlowLink(0))
	r = a.migrate(g.Name, "--postcopy-resume").want(control.Moved, 0)
	says(t, "the message", r.Message, "runs on host-b")
	s.onlyOn(g, s.B)
}

func TestSessionTooLong(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: patience + "session_timeout = \"3s\"\n"})
	g := s.guest(lab.GuestSpec{})
	a.migrate(g.Name, slow...).stays(control.Failed, 1, "3s", "limits.session_timeout")
	sameCause(a, b, "3s", "limits.session_timeout")
	s.onlyOn(g, s.A)
}

func TestTooManyBytes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.start(s.A, conf{}), s.start(s.B, conf{limits: "session_bytes = 20000000\n"})
	g := s.guest(lab.GuestSpec{})
	a.migrate(g.Name).stays(control.Failed, 1, "host-b: channel memory-0: ", "(20000000, limits.session_bytes)")
	sameCause(a, b, "host-b: channel memory-0: ", "(20000000, limits.session_bytes)")
	s.onlyOn(g, s.A)
}
