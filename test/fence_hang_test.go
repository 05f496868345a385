package test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// libvirtd at the source hangs as it is to let go of a guest that runs at the destination. What it
// makes of the guest when it is started again is not waited for: the guest's QEMU is ended before.
func TestFenceLibvirtdHangs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{limits: defaults})
	g := s.guest(lab.GuestSpec{})
	m := a.migrate(g.Name, "--bandwidth", "32")
	m.halfway()
	thaw := s.freezeLibvirtd(s.B)
	a.logged("the guest is held here")
	s.freezeLibvirtd(s.A)
	thaw()
	s.check(g.WaitPasses(s.ctx, s.B, 3))
	s.wait("the end of QEMU on host-a", 40*time.Second, func() bool {
		pids, err := s.A.QEMU(g.Name)
		return err == nil && len(pids) == 0
	})
	m.want(control.Moved, 0)
	s.check(s.A.KillLibvirtd(s.ctx, syscall.SIGKILL))
	s.check(s.A.StartLibvirtd(s.ctx))
	s.wait("host-a lets go of the guest", time.Minute, func() bool {
		left, err := s.A.Virsh(s.ctx, "list", "--all", "--name")
		return err == nil && strings.TrimSpace(left) == ""
	})
	s.onlyOn(g, s.B)
}
