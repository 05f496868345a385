package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// cancels runs `sluice cancel`, which must end with the status, in these words.
func (d *daemon) cancels(guest string, status int, words ...string) {
	d.s.t.Helper()
	out, errs, got := d.s.run(d.host, d.s.command, "cancel", guest)
	if got != status {
		d.s.t.Fatalf("sluice cancel on %s ended with status %d, want %d: %s%s", d.host.Name, got, status, out, errs)
	}
	says(d.s.t, "sluice cancel on "+d.host.Name, out+errs, words...)
}

// cancelled wants both daemons to show the guest's last session as cancelled, with one cause.
func cancelled(a, b *daemon, g *lab.Guest, words ...string) {
	a.s.t.Helper()
	last := func(d *daemon) (e control.SessionStatus) {
		d.ended()
		for _, e := range d.status().Ended {
			if e.Guest == g.Name && e.Kind != "lead" {
				return e
			}
		}
		a.s.t.Fatalf("%s shows no session of the guest", d.host.Name)
		return e
	}
	atA, atB := last(a), last(b)
	if atA.ID != atB.ID || atA.Cause != atB.Cause || atA.Outcome != control.Cancelled || atB.Outcome != control.Cancelled {
		a.s.t.Errorf("host-a shows %s as %s: %s\nhost-b shows %s as %s: %s", atA.ID, atA.Outcome, atA.Cause, atB.ID, atB.Outcome, atB.Cause)
	}
	says(a.s.t, "the cause", atA.Cause, words...)
}

// Whoever may use the control socket of either host can cancel a migration, and who has it under
// way is told so, also where libvirt's client did.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	b.cancels("nobody", 1, `no session on host-b carries a guest "nobody"`, "sluice status")
	b.cancels(g.Name, 1, "no session on host-b carries a guest")
	a.cancels(g.Name, 1, "no session on host-a carries a guest", "not being migrated")
	for _, c := range []struct {
		name   string
		cancel func(id string)
		words  []string
	}{
		{"at the source", func(string) { a.cancels(g.Name, 0, "the migration of guest g is cancelled", "goes on here") }, []string{"host-a", "sluice cancel"}},
		{"at the destination", func(string) { b.cancels(g.Name, 0, "the migration of guest g is cancelled", "goes on at host-a") }, []string{"host-b", "sluice cancel"}},
		{"by the session's ID", func(id string) { b.cancels(id, 0, "the migration of guest g is cancelled") }, []string{"host-b", "sluice cancel"}},
		{"by virsh", func(string) { s.virshSays(s.A, "domjobabort", g.Name) }, []string{"host-a", "cancelled", "virsh domjobabort"}},
	} {
		m := a.migrate(g.Name, slow...)
		m.halfway()
		c.cancel(a.live().ID)
		m.stays(control.Cancelled, 3, c.words...)
		cancelled(a, b, g, c.words...)
		s.check(s.CheckOnlyOn(s.ctx, g, s.A))
		if t.Failed() {
			t.Fatalf("cancelled %s", c.name)
		}
	}
	s.nothingLeft()
}

// A stock client's migration is cancelled as if virsh had aborted the job.
func TestCancelVirsh(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const clients = "[clients.operators]\nnames = [\"operator\"]\naccess = \"full\"\n"
	a := s.start(s.A, conf{limits: "session_bandwidth = 8", peers: "[peers.host-b]\naccess = \"full\"\n" + clients})
	b := s.start(s.B, conf{limits: "session_bandwidth = 8", peers: "[peers.host-a]\n" + clients})
	g := s.guest(lab.GuestSpec{})
	toB := s.tlsURI("operator")
	abort := func() { s.virshSays(s.A, "domjobabort", g.Name) }
	for _, c := range []struct {
		name   string
		start  func() *virshRun
		cancel func()
		words  string
	}{
		{"peer to peer, at the source", func() *virshRun { return a.virshStart(g, "--p2p") }, func() { a.cancels(g.Name, 0, "cancelled", "goes on here") }, "host-a: the migration was cancelled"},
		{"peer to peer, at the destination", func() *virshRun { return a.virshStart(g, "--p2p") }, func() { b.cancels(g.Name, 0, "cancelled", "at host-a") }, "host-b: the migration was cancelled"},
		{"managed, at the destination", func() *virshRun { return a.virshStart(g) }, func() { b.cancels(g.Name, 0) }, "host-b: the migration was cancelled"},
		{"pull, at the destination", func() *virshRun {
			return s.virshStart(s.B, "-c", b.uri(), "migrate", "--live", g.Name, "qemu:///system")
		}, func() { b.cancels(g.Name, 0) }, "host-b: the migration was cancelled"},
		{"rendezvous, at the source", func() *virshRun {
			return s.virshStart(s.B, "-c", strings.Replace(toB, "//host-b/", "//host-a/", 1), "migrate", "--live", g.Name, toB)
		}, func() { a.cancels(g.Name, 0) }, "host-a: the migration was cancelled"},
		{"peer to peer, by virsh", func() *virshRun { return a.virshStart(g, "--p2p") }, abort, "libvirt at the source gave the migration up"},
		{"managed, by virsh", func() *virshRun { return a.virshStart(g) }, abort, "libvirt at the source gave the migration up"},
		{"led, by virsh", func() *virshRun { return s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p") }, abort, "the libvirt client gave the guest up"},
	} {
		v := c.start()
		v.flows(a, g)
		c.cancel()
		v.fails() // libvirt's words depend on which end tells it first: the job's, the pipe's, or the other QEMU's
		cancelled(a, b, g, c.words)
		s.check(s.CheckOnlyOn(s.ctx, g, s.A))
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
	s.nothingLeft()
}

// What has left can't be called back, from either host.
func TestCancelTooLate(t *testing.T) {
	t.Parallel()
	t.Run("Finish", func(t *testing.T) {
		s := newSite(t)
		a, b := s.both(conf{})
		g := s.guest(lab.GuestSpec{})
		v := a.virshStart(g, "--p2p", "--bandwidth", "32")
		v.flows(a, g)
		thaw := s.freezeLibvirtd(s.B)
		a.inFinish()
		b.inFinish()
		for _, d := range []*daemon{a, b} {
			d.cancels(g.Name, 1, "host-b is taking guest g over", "can't be cancelled any more")
		}
		thaw()
		v.moves()
		s.onlyOn(g, s.B)
	})
	t.Run("post-copy", func(t *testing.T) {
		s := newSite(t)
		a, b := s.both(conf{})
		g := s.guest(lab.GuestSpec{MemoryMiB: 64, DirtyMiB: 32})
		s.check(s.SlowLink(8 << 20))
		m := a.migrate(g.Name, "--postcopy")
		m.until("post-copy", func(p control.Progress) bool { return p.Phase == control.PhasePost })
		for _, d := range []*daemon{a, b} {
			d.cancels(g.Name, 1, "guest g is in post-copy", "can't be cancelled any more")
		}
		s.check(s.SlowLink(0))
		moved(m, g, a, b)
		s.nothingLeft()
	})
}

// `virsh migrate-setspeed` beside `sluice migrate` counts, faster and slower.
func TestSetSpeed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{MemoryMiB: 256, Paused: true})
	m := a.migrate(g.Name, slow...)
	m.until("memory flows", func(p control.Progress) bool { return p.Carried > 8<<20 })
	for _, speed := range []int{24, 4} {
		s.virshSays(s.A, "migrate-setspeed", g.Name, fmt.Sprint(speed))
		s.wait(fmt.Sprintf("a rate of %d MiB/s", speed), 20*time.Second, func() bool {
			r := int(a.live().Rate)
			return r > speed<<20*3/4 && r < speed<<20*5/4
		})
	}
	a.cancels(g.Name, 0, "cancelled")
	m.want(control.Cancelled, 3)
	cancelled(a, b, g, "sluice cancel")
}

// A guest that changes its memory as fast as it gets through is told of at both hosts, and to the
// caller, with both rates and what helps; no ETA is.
func TestStalled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{MemoryMiB: 96, DirtyMiB: 64})
	m := a.migrate(g.Name, "--bandwidth", "24")
	words := []string{"no progress over the last", "passes", "the guest changes", "MiB/s of its memory", "get through", "--auto with --allow", "--bandwidth"}
	stalled := func(p control.Progress) bool { return p.Stalled != "" }
	m.until("no progress", stalled)
	for _, p := range m.events.Progress() {
		if stalled(p) {
			says(t, "sluice migrate", p.Stalled, words...)
			if p.ETA != 0 || p.DirtyRate < 4<<20 || p.Rate < 18<<20 || p.Rate > 30<<20 {
				t.Errorf("progress is %+v", p)
			}
		}
	}
	for _, d := range []*daemon{a, b} {
		d.s.wait("no progress on "+d.host.Name, 30*time.Second, func() bool { return stalled(*d.live().Progress) })
		p := d.live().Progress
		says(t, d.host.Name, p.Stalled, words...)
		if p.ETA != 0 || p.Iteration < 3 || p.DirtyRate < 4<<20 {
			t.Errorf("%s shows %+v", d.host.Name, p)
		}
	}
	b.cancels(g.Name, 0, "cancelled")
	m.stays(control.Cancelled, 3, "host-b", "sluice cancel")
	says(t, "sluice migrate", m.stderr.String(), words...)
	s.onlyOn(g, s.A)
}
