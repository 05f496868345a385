package test

import (
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// What breaks on the way to a host without a sluice leaves the guest at the source.
func TestToHostWithoutSluiceBroken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.withoutSluice(s.B, libvirtTLSPort, "host-b")
	s.qemuCertificates()
	a := s.start(s.A, conf{peers: bareTable(s.B, "native-tls"), limits: patience + "idle_timeout = \"2s\"\n"})
	g := s.guest(lab.GuestSpec{})
	gone := func() {
		s.t.Helper()
		s.wait("the end of the guest on host-b", 20*time.Second, func() bool {
			places, err := s.WhereRuns(s.ctx, g.Name)
			s.check(err)
			return len(places[1].QEMU) == 0 && places[1].State == ""
		})
	}
	for _, c := range []struct {
		name    string
		do      func(m *migration)
		mend    func()
		outcome string
		status  int
		words   []string
	}{
		{"interrupted", func(m *migration) { s.check(m.cmd.Process.Signal(syscall.SIGINT)) }, nil, control.Cancelled, 3, []string{"host-a", "the caller cancelled the migration"}},
		{"link down", func(*migration) { s.check(s.CutLink()) }, func() {
			gone() // libvirtd there has to find out by itself
			s.check(s.RestoreLink())
		}, control.Failed, 1, []string{"host-a: ", "nothing was heard from libvirt on host-b for 2s"}},
		{"libvirtd there killed", func(*migration) { s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL)) }, func() {
			s.check(s.B.StartLibvirtd(s.ctx))
			gone() // its half of the guest outlives a libvirtd, and the new one ends that
		}, control.Failed, 1, []string{"host-a: ", "libvirt on host-b closed its connection"}},
		{"QEMU there killed", func(*migration) { s.killQEMU(g, s.B) }, nil, control.Failed, 1, []string{"host-b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := a.migrate(g.Name, slow...)
			m.halfway()
			c.do(m)
			m.stays(c.outcome, c.status, c.words...)
			if c.mend != nil {
				c.mend()
			}
			s.onlyOn(g, s.A)
		})
	}
}

// The answer to Finish is lost, and libvirt there is asked what became of the guest.
func TestToHostWithoutSluiceLostFinish(t *testing.T) {
	t.Parallel()
	t.Run("it runs there", func(t *testing.T) {
		s := newSite(t)
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		s.qemuCertificates()
		a := s.start(s.A, conf{peers: bareTable(s.B, "native-tls"), limits: hasty})
		g := s.guest(lab.GuestSpec{})
		m, thaw := s.finishHangs(a, g)
		s.check(s.CutLink()) // so that libvirtd there does not see the end of the connection before it has read Finish
		a.logged(lostFinish)
		if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
			t.Errorf("while no one can tell, the guest is %s on host-a", state)
		}
		thaw()
		s.check(g.WaitPasses(s.ctx, s.B, 1))
		s.check(s.RestoreLink())
		r := m.want(control.Moved, 0)
		says(t, "the message", r.Message, "g runs on host-b")
		s.onlyOn(g, s.B)
	})
	t.Run("it is gone", func(t *testing.T) {
		s := newSite(t)
		s.withoutSluice(s.B, libvirtTLSPort, "host-b")
		s.qemuCertificates()
		a := s.start(s.A, conf{peers: bareTable(s.B, "native-tls"), limits: hasty})
		g := s.guest(lab.GuestSpec{})
		m := a.migrate(g.Name, "--bandwidth", "16")
		m.halfway()
		thaw := s.freezeLibvirtd(s.B)
		a.logged(lostFinish)
		s.killQEMU(g, s.B)
		thaw()
		r := m.want(control.Unknown, 4)
		says(t, "the message", r.Message, "no one can tell whether guest g runs on host-b", "may have run there and ended", "On host-a it is paused", "sluice resolve g --here")
		if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
			t.Errorf("the guest is %s on host-a", state)
		}
	})
}
