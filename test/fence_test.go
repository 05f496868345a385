package test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// defaults are the limits that a daemon has if nobody sets any.
const defaults = "finish_timeout = \"60s\"\n"

// struck is a migration of a stock client's whose Finish the destination's libvirt does not answer
// yet, at the defaults of libvirt and sluice.
type struck struct {
	*site
	a, b  *daemon
	g     *lab.Guest
	v     *virshRun
	thaw  func() // lets the destination's libvirt answer
	begun int    // passes that the guest had made at its source
}

func (s *site) inFinish(spec lab.GuestSpec, args ...string) *struck {
	s.t.Helper()
	a, b := s.both(conf{limits: defaults})
	return s.inFinishBy(a.uri(), a, b, spec, args...)
}

// inFinishBy is inFinish where libvirt comes to the destination by that URI.
func (s *site) inFinishBy(uri string, a, b *daemon, spec lab.GuestSpec, args ...string) *struck {
	s.t.Helper()
	st := &struck{site: s, a: a, b: b, g: s.guest(spec)}
	st.v = s.virshMigrates(s.A, st.g, uri, append([]string{"--bandwidth", "32"}, args...)...)
	st.v.flows(a, st.g)
	st.thaw = s.freezeLibvirtd(s.B)
	a.logged("the guest is held here", `"fenced":true`)
	b.inFinish()
	st.begun = st.passes()
	return st
}

// passes are those that the guest has made at its source.
func (st *struck) passes() int {
	st.t.Helper()
	n, err := st.g.Passes(st.A)
	st.check(err)
	return n
}

// takenOver waits until the guest runs at its destination.
func (st *struck) takenOver() {
	st.t.Helper()
	st.thaw()
	st.check(st.g.WaitPasses(st.ctx, st.B, 3))
}

// still makes sure that for some time the guest does not make a pass at its source.
func (st *struck) still(how time.Duration) {
	st.t.Helper()
	over := time.NewTimer(how)
	defer over.Stop()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		if n := st.passes(); n != st.begun {
			st.t.Fatalf("the guest has made %d passes on host-a while it may run on host-b", n-st.begun)
		}
		select {
		case <-again.C:
		case <-over.C:
			return
		case <-st.ctx.Done():
			st.t.Fatal(st.ctx.Err())
		}
	}
}

// resolves gives the daemon an operator's word for where a guest runs.
func (d *daemon) resolves(g *lab.Guest, where string) {
	d.s.t.Helper()
	if out, errs, status := d.s.run(d.host, d.s.command, "resolve", g.Name, where); status != 0 {
		d.s.t.Fatalf("sluice resolve %s %s ends with status %d: %s%s", g.Name, where, status, out, errs)
	}
}

// restarted starts a daemon that was killed. What it holds then includes what it takes over.
func (d *daemon) restarted() {
	d.s.t.Helper()
	idle := d.idle
	d.start()
	d.idle = idle
}

// longerThanKeepalive is more than a libvirtd bears of silence: keepalive_count + 1 times
// keepalive_interval, 30 s by default, and its client's 28 s.
const longerThanKeepalive = 42 * time.Second

// Whatever is struck while the destination takes a guest over, the guest never makes a pass on both
// hosts, and then it is on one alone, with nothing left over on the other.
func TestFence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		spec   lab.GuestSpec
		args   []string
		strike func(st *struck)
	}{
		{"link dead", lab.GuestSpec{}, []string{"--p2p"}, func(st *struck) {
			st.check(st.CutLink())
			st.takenOver()
			st.still(longerThanKeepalive)
			st.check(st.RestoreLink())
		}},
		{"link dead, managed", lab.GuestSpec{}, nil, func(st *struck) {
			st.check(st.CutLink())
			st.takenOver()
			st.still(longerThanKeepalive)
			st.check(st.RestoreLink())
		}},
		{"source's sluice frozen", lab.GuestSpec{}, []string{"--p2p"}, func(st *struck) {
			st.a.signal(syscall.SIGSTOP)
			st.takenOver()
			st.still(longerThanKeepalive)
			st.a.signal(syscall.SIGCONT)
		}},
		{"source's sluice killed", lab.GuestSpec{Persistent: true}, []string{"--p2p", "--persistent", "--undefinesource"}, func(st *struck) {
			st.a.killed()
			st.takenOver()
			st.still(5 * time.Second)
			st.a.restarted()
		}},
		{"source's libvirtd killed", lab.GuestSpec{Persistent: true}, []string{"--p2p", "--persistent", "--undefinesource"}, func(st *struck) {
			st.check(st.A.KillLibvirtd(st.ctx, syscall.SIGKILL))
			st.takenOver()
			st.still(3 * time.Second)
			st.check(st.A.StartLibvirtd(st.ctx))
		}},
		// libvirtd then asks QEMU something in its main loop, and would hang for all guests.
		{"managed client killed", lab.GuestSpec{}, nil, func(st *struck) {
			st.check(st.v.cmd.Process.Kill())
			st.a.logged("libvirt here leaves the guest paused")
			st.virsh(st.A, "list")
			st.still(2 * time.Second)
			st.takenOver()
		}},
		{"source's libvirtd killed before Confirm", lab.GuestSpec{}, []string{"--p2p"}, func(st *struck) {
			st.freezeLibvirtd(st.A)
			st.takenOver()
			st.check(st.A.KillLibvirtd(st.ctx, syscall.SIGKILL))
			st.still(3 * time.Second)
			st.check(st.A.StartLibvirtd(st.ctx))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			st := s.inFinish(c.spec, c.args...)
			c.strike(st)
			st.v.ends() // as a success or not: libvirt's client may have gone before anybody could tell it
			st.wait("host-a lets go of the guest", 60*time.Second, func() bool {
				left, err := st.A.Virsh(st.ctx, "list", "--all", "--name")
				return err == nil && left == ""
			})
			if n := st.passes(); n != st.begun {
				t.Errorf("the guest has made %d passes on host-a, after Finish", n-st.begun)
			}
			st.onlyOn(st.g, st.B)
		})
	}
}

// Where libvirt at the destination says that it has failed, the guest goes on at its source, also
// if libvirt there was killed meanwhile and so has forgotten that it was to resume the guest.
func TestFenceLifted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		args   []string
		strike func(st *struck)
	}{
		{"peer to peer", []string{"--p2p"}, func(*struck) {}},
		{"managed", nil, func(*struck) {}},
		{"source's libvirtd killed", []string{"--p2p"}, func(st *struck) {
			st.check(st.A.KillLibvirtd(st.ctx, syscall.SIGKILL))
			st.check(st.A.StartLibvirtd(st.ctx))
		}},
		{"source's sluice killed", []string{"--p2p"}, func(st *struck) {
			st.a.killed()
			st.a.restarted()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			st := s.inFinish(lab.GuestSpec{}, c.args...)
			st.killQEMU(st.g, st.B)
			c.strike(st)
			st.still(time.Second)
			st.thaw()
			st.v.fails()
			st.check(st.g.WaitPasses(st.ctx, st.A, 3))
			st.onlyOn(st.g, st.A)
		})
	}
}

// `sluice migrate` says "moved" only where no copy is left that could be resumed, also if libvirtd
// at the source is killed just then.
func TestFenceMigrate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		strike func(s *site, g *lab.Guest, thaw func())
	}{
		{"source's libvirtd killed in Finish", func(s *site, g *lab.Guest, thaw func()) {
			s.check(s.A.KillLibvirtd(s.ctx, syscall.SIGKILL))
			thaw()
			s.check(g.WaitPasses(s.ctx, s.B, 3))
			s.check(s.A.StartLibvirtd(s.ctx))
		}},
		{"source's libvirtd killed in Confirm", func(s *site, g *lab.Guest, thaw func()) {
			s.freezeLibvirtd(s.A)
			thaw()
			s.check(g.WaitPasses(s.ctx, s.B, 3))
			s.check(s.A.KillLibvirtd(s.ctx, syscall.SIGKILL))
			s.check(s.A.StartLibvirtd(s.ctx))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, _ := s.both(conf{limits: defaults})
			g := s.guest(lab.GuestSpec{Persistent: true})
			m := a.migrate(g.Name, "--bandwidth", "16", "--persistent", "--undefinesource")
			m.halfway()
			thaw := s.freezeLibvirtd(s.B)
			a.logged("the guest is held here", `"fenced":false`)
			before, err := g.Passes(s.A)
			s.check(err)
			c.strike(s, g, thaw)
			m.want(control.Moved, 0)
			s.wait("host-a lets go of the guest", 60*time.Second, func() bool {
				left, err := s.A.Virsh(s.ctx, "list", "--all", "--name")
				return err == nil && left == ""
			})
			if now, err := g.Passes(s.A); err != nil || now != before {
				t.Errorf("the guest has made %d passes on host-a after Finish (%v)", now-before, err)
			}
			s.onlyOn(g, s.B)
		})
	}
}

// The destination is lost in the very moment of taking the guest over. That is told in time, to the
// client too; nobody can resume the guest, and an operator has the last word.
func TestFenceNobodyTells(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--p2p"}, nil} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a, b := s.start(s.A, conf{limits: hasty}), s.start(s.B, conf{})
			g := s.guest(lab.GuestSpec{})
			v := a.virshStart(g, append(args, "--bandwidth", "32")...)
			v.flows(a, g)
			thaw := s.freezeLibvirtd(s.B)
			a.logged("the guest is held here", `"fenced":true`)
			before, err := g.Passes(s.A)
			s.check(err)
			b.inFinish()
			b.killed()
			s.killQEMU(g, s.B)
			thaw()
			s.wait("it is told that nobody can tell", time.Minute, func() bool {
				leaving := a.status().Leaving
				return len(leaving) == 1 && leaving[0].Overdue && leaving[0].Stopped && leaving[0].Verdict == ""
			})
			out, _, _ := s.run(s.A, s.command, "status")
			says(t, "sluice status", out, "Nobody can tell whether g runs on host-b", "sluice resolve g --there", "sluice resolve g --here")
			a.logged("libvirt here waits for the guest's stopped QEMU")
			v.fails("sluice: nobody can tell whether guest g runs on host-b", "on host-a it stays stopped")
			if now, err := g.Passes(s.A); err != nil || now != before {
				t.Errorf("%d passes on host-a (%v)", now-before, err)
			}
			if state := s.virsh(s.A, "domstate", g.Name); state != "paused" {
				t.Errorf("virsh has been told, and the guest is %s", state)
			}
			s.virshStart(s.A, "resume", g.Name).fails("cannot acquire state change lock")
			if _, errs, status := s.run(s.A, s.command, "resolve", "another", "--here"); status != 1 {
				t.Errorf("sluice resolve of another guest ends with status %d: %s", status, errs)
			}
			a.resolves(g, "--here")
			s.check(g.WaitPasses(s.ctx, s.A, 3))
			b.restarted()
			s.onlyOn(g, s.A)
		})
	}
}
