package test

import (
	"syscall"
	"testing"
	"time"

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
			// A libvirtd that starts anew finds QEMU's rest, and clears it away.
			s.wait("host-b is rid of the guest", 60e9, func() bool {
				left, err := s.B.Virsh(s.ctx, "list", "--all", "--name")
				return err == nil && left == ""
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

// The link breaks while the destination takes the guest over. libvirt alone would resume it at the
// source; sluice keeps libvirt waiting, with the guest paused, until the destination can say what
// became of it. That the guest might have gone by post-copy, and did not, changes nothing.
func TestVirshLostFinish(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		args  []string
		fails bool
	}{
		{"it runs there", nil, false},
		{"post-copy was allowed", []string{"--postcopy"}, false},
		{"it fails there", []string{"--postcopy"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{limits: patience + "idle_timeout = \"1s\"\n"})
			g := s.guest(lab.GuestSpec{})
			v := a.virshStart(g, append(c.args, "--p2p", "--bandwidth", "32")...)
			v.flows(a, g)
			thaw := s.freezeLibvirtd(s.B)
			b.inFinish()
			s.check(s.CutLink())
			a.logged("the answer to Finish was lost")
			if c.fails {
				s.killQEMU(g, s.B)
			}
			thaw()
			a.logged("no answer yet")
			if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
				t.Errorf("while no one can tell, the guest is %s on host-a", state)
			}
			s.check(s.RestoreLink())
			if c.fails {
				v.fails("sluice: ", "the guest is not there")
				s.onlyOn(g, s.A)
				return
			}
			v.moves()
			for _, d := range []*daemon{a, b} {
				d.ended()
				for _, e := range d.status().Ended {
					if e.Kind == "steered" && e.Outcome != "moved" {
						t.Errorf("%s shows %+v", d.host.Name, e)
					}
				}
			}
			s.onlyOn(g, s.B)
		})
	}
}

// The same at libvirt's and sluice's own timers. libvirtd at the source closes a
// connection on which its pings are not answered for 30 seconds, and resumes the
// guest; so they are answered on its own host, whatever the link does.
func TestVirshLostFinishAtDefaults(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: defaults})
	g := s.guest(lab.GuestSpec{})
	v := a.virshStart(g, "--p2p", "--bandwidth", "32")
	v.flows(a, g)
	thaw := s.freezeLibvirtd(s.B)
	b.inFinish()
	s.check(s.CutLink())
	cut := time.Now()
	thaw()
	s.wait("the guest runs on host-b", 30*time.Second, func() bool { return s.virsh(s.B, "domstate", g.Name) == "running" })
	for time.Since(cut) < 45*time.Second {
		if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
			t.Fatalf("%v after the link has broken the guest is %s on host-a, and runs on host-b", time.Since(cut), state)
		}
		time.Sleep(time.Second)
	}
	a.logged("no answer yet")
	s.check(s.RestoreLink())
	v.moves()
	for _, d := range []*daemon{a, b} {
		d.ended()
	}
	s.onlyOn(g, s.B)
}
