package test

import (
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// finishHangs starts a migration and returns once Finish has been asked for at
// the destination, whose libvirt does not answer.
func (s *site) finishHangs(a *daemon, g *lab.Guest) (m *migration, thaw func()) {
	s.t.Helper()
	m = a.migrate(g.Name, "--bandwidth", "16")
	m.halfway()
	thaw = s.freezeLibvirtd(s.B)
	s.wait("phase finish at the source", 30*time.Second, func() bool { return a.live().Phase == control.PhaseFinish })
	return m, thaw
}

const lostFinish = "the answer to Finish was lost"

// The guest runs at the destination, and the source hears of it only when it asks again.
func TestLostFinish(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: patience + "idle_timeout = \"1s\"\n"})
	g := s.guest(lab.GuestSpec{})
	m, thaw := s.finishHangs(a, g)
	s.check(s.CutLink())
	a.logged(lostFinish)
	thaw()
	b.logged("guest runs here")
	if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
		t.Errorf("while no one can tell, the guest is %s on host-a", state)
	}
	s.check(s.RestoreLink())
	r := m.want(control.Moved, 0)
	says(t, "the message", r.Message, "g runs on host-b")
	says(t, "the cause", r.Cause, "host-b", "the link is down, or the host is frozen")
	s.onlyOn(g, s.B)
	if a.ended().Outcome != control.Moved || b.ended().Outcome != control.Moved {
		t.Errorf("status shows the outcomes %s and %s", a.ended().Outcome, b.ended().Outcome)
	}
}

// The source never learns that the guest runs at the destination.
func TestLostFinishForGood(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// The destination's libvirt has more time than the source's patience.
	a := s.start(s.A, conf{limits: hasty + "idle_timeout = \"1s\"\n"})
	b := s.start(s.B, conf{limits: patience + "idle_timeout = \"1s\"\n"})
	g := s.guest(lab.GuestSpec{})
	m, thaw := s.finishHangs(a, g)
	s.check(s.CutLink())
	a.logged(lostFinish)
	thaw()
	b.logged("guest runs here")
	r := m.want(control.Unknown, 4)
	says(t, "the message", r.Message, "no one can tell whether guest g runs on host-b", "On host-a it is paused", "sluice resolve g --there", "sluice resolve g --here")
	says(t, "the cause", r.Cause, "host-a: ", "host-b", "the link is down, or the host is frozen")
	if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
		t.Fatalf("the guest is %s on host-a", state)
	}
	if a.ended().Outcome != control.Unknown {
		t.Errorf("status on host-a shows the outcome %s", a.ended().Outcome)
	}
	// What the message says mends it.
	a.resolves(g, "--there")
	s.onlyOn(g, s.B)
}

// The destination's libvirt says that Finish has failed, and holds no guest.
func TestFinishFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	m, thaw := s.finishHangs(a, g)
	s.killQEMU(g, s.B)
	thaw()
	m.stays(control.Failed, 1, "host-b: ", "libvirt", "taking the guest over")
	sameCause(a, b, "host-b: ", "libvirt", "taking the guest over")
	s.onlyOn(g, s.A)
}

// The destination's libvirt dies over Finish. That the guest is not there
// afterwards does not tell whether it has run.
func TestFinishUnanswered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.start(s.A, conf{limits: hasty}), s.start(s.B, conf{})
	g := s.guest(lab.GuestSpec{})
	m, _ := s.finishHangs(a, g)
	s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL))
	b.logged("host-b: libvirt")
	s.check(s.B.StartLibvirtd(s.ctx))
	r := m.want(control.Unknown, 4)
	says(t, "the message", r.Message, "no one can tell whether guest g runs on host-b", "on host-b it is absent", "On host-a it is paused", "sluice resolve g --here")
	says(t, "the cause", r.Cause, "host-b: libvirt", "stopped, or has crashed")
	if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
		t.Fatalf("the guest is %s on host-a", state)
	}
	// What the message says mends it.
	a.resolves(g, "--here")
	s.onlyOn(g, s.A)
}
