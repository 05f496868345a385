package test

import (
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Post-copy that QEMU was asked for, and can't switch to since nobody takes what it sends, has not
// happened: it can be cancelled, and limits hold.
func TestPostCopyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits string
		end    func(a *daemon, g *lab.Guest)
		want   func(*migration)
	}{
		{"cancelled", "", func(a *daemon, g *lab.Guest) { a.cancels(g.Name, 0, "cancelled", "goes on here") },
			func(m *migration) { m.stays(control.Cancelled, 3, "cancelled", "sluice cancel") }},
		{"session_timeout", `session_timeout = "30s"`, func(*daemon, *lab.Guest) {},
			func(m *migration) { m.stays(control.Failed, 1, "30s", "limits.session_timeout") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, _ := s.both(conf{limits: c.limits})
			g := s.guest(lab.GuestSpec{})
			m := a.migrate(g.Name, append(slow, "--postcopy", "--timeout", "15", "--timeout-postcopy")...)
			m.halfway()
			pids, err := s.B.QEMU(g.Name)
			s.check(err)
			s.check(syscall.Kill(pids[0], syscall.SIGSTOP))
			a.logged("QEMU is asked to switch to post-copy")
			c.end(a, g)
			c.want(m)
			// libvirt over there can only end a QEMU that runs.
			syscall.Kill(pids[0], syscall.SIGCONT)
			s.check(s.CheckOnlyOn(s.ctx, g, s.A))
			s.nothingLeft()
		})
	}
}
