package test

import (
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// Whatever breaks, the guest that stock virsh was moving goes on at the source
// and nothing of the attempt stays.
func TestVirshBroken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		brk   func(s *site, a, b *daemon)
		mend  func(s *site, a, b *daemon)
		words []string // in the source's cause, if its sluice lives
	}{
		{"sluice of the source is killed", func(s *site, a, _ *daemon) { a.killed() },
			func(s *site, a, _ *daemon) { a.start() }, nil},
		{"sluice of the destination is killed", func(s *site, _, b *daemon) { b.killed() },
			func(s *site, _, b *daemon) { b.start() }, []string{"host-b"}},
		{"libvirtd of the destination is killed", func(s *site, _, _ *daemon) { s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL)) },
			func(s *site, _, _ *daemon) { s.check(s.B.StartLibvirtd(s.ctx)) }, []string{"host-b"}},
		{"the link is down", func(s *site, _, _ *daemon) { s.check(s.CutLink()) },
			func(s *site, _, _ *daemon) { s.check(s.RestoreLink()) }, []string{"host-b", "the link is down"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{limits: patience + "idle_timeout = \"2s\"\n"})
			g := s.guest(lab.GuestSpec{})
			v := a.virshStart(g, "--p2p", "--bandwidth", "8")
			v.flows(a, g)
			c.brk(s, a, b)
			v.fails()
			c.mend(s, a, b)
			s.wait("the guest goes on", 60e9, func() bool {
				state, err := s.A.Virsh(s.ctx, "domstate", g.Name)
				return err == nil && state == "running"
			})
			if c.words != nil {
				a.ended()
				for _, e := range a.status().Ended {
					if e.Kind == "steered" {
						says(t, "the cause", e.Cause, c.words...)
					}
				}
			}
			s.onlyOn(g, s.A)
			// And then it moves.
			a.virshStart(g, "--p2p").moves()
			s.onlyOn(g, s.B)
		})
	}
}
