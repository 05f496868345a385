package test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A host that has a sluice may say qemu+tls://HOST/system as ever: the guest goes from sluice to
// sluice all the same.
func TestLed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
	}{
		{"peer to peer", []string{"--p2p"}},
		{"managed", nil},
		{"with disks", []string{"--p2p", "--copy-storage-all"}},
		{"managed, with disks", []string{"--copy-storage-all"}},
		{"in parallel", []string{"--p2p", "--parallel", "--parallel-connections", "3"}},
		{"post-copy", []string{"--p2p", "--postcopy", "--postcopy-after-precopy"}},
		{"with a URI", []string{"--p2p", "--copy-storage-all", "--migrateuri", "tcp://192.0.2.2:49152"}},
		{"managed, with a URI", []string{"--migrateuri", "tcp:host-b:49152"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{})
			var spec lab.GuestSpec
			if slices.Contains(c.args, "--copy-storage-all") {
				spec.DisksMiB = []int{8}
			}
			g := s.guest(spec)
			s.check(g.CreateDisks(s.B))
			link := s.watched(func() { s.virshMigrates(s.A, g, s.tlsURI("host-a"), c.args...).moves() })
			if n := link.has(g); n > 0 {
				t.Errorf("%d of 64 pages of the guest's memory can be read on the link", n)
			}
			s.check(s.CheckOnlyOn(s.ctx, g, s.B))
			a.steered(b, g, "sluice")
			s.nothingLeft()
		})
	}
}

// It is held at its source meanwhile, as any other.
func TestLedFence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		args   []string
		strike func(st *struck)
	}{
		{"link dead", []string{"--p2p"}, func(st *struck) {
			st.check(st.CutLink())
			st.takenOver()
			st.still(longerThanKeepalive)
			st.check(st.RestoreLink())
		}},
		{"source's sluice killed", []string{"--p2p"}, func(st *struck) {
			st.a.killed()
			st.takenOver()
			st.still(5 * time.Second)
			st.a.restarted()
		}},
		{"destination's sluice killed", []string{"--p2p"}, func(st *struck) {
			st.b.killed()
			st.takenOver()
			st.still(5 * time.Second)
			st.b.restarted()
		}},
		{"source's libvirtd killed", []string{"--p2p"}, func(st *struck) {
			st.check(st.A.KillLibvirtd(st.ctx, syscall.SIGKILL))
			st.takenOver()
			st.still(3 * time.Second)
			st.check(st.A.StartLibvirtd(st.ctx))
		}},
		{"managed client killed", nil, func(st *struck) {
			st.check(st.v.cmd.Process.Kill())
			st.a.logged("libvirt here leaves the guest paused")
			st.virsh(st.A, "list")
			st.takenOver()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{limits: defaults})
			st := s.inFinishBy(s.tlsURI("host-a"), a, b, lab.GuestSpec{}, c.args...)
			c.strike(st)
			st.v.ends()
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

// Where the destination fails to take it over, it goes on at its source.
func TestLedFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: defaults})
	st := s.inFinishBy(s.tlsURI("host-a"), a, b, lab.GuestSpec{}, "--p2p")
	st.killQEMU(st.g, st.B)
	st.thaw()
	st.v.fails()
	st.check(st.g.WaitPasses(st.ctx, st.A, 3))
	st.onlyOn(st.g, st.A)
	s.nothingLeft()
}

// A guest that is not the caller's to bring, or whose host's sluice does not answer, does not come.
func TestLedRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	a.killed()
	s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p").fails("access denied", "host-a comes without its sluice", "peers.host-a.without_sluice on host-b does not allow")
	a.restarted()
	s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p", "--migrateuri", "tcp:host-c:49152").fails("sluice on host-b", "in clear", "tcp:host-c:49152")
	s.onlyOn(g, s.A)
	// One that is listed as a client as well is a client then, as it was before.
	b.killed()
	listed := s.start(s.B, conf{peers: "[peers.host-a]\n[clients.hosts]\nnames = [\"host-a\"]\naccess = \"migrate\"\n"})
	a.killed()
	s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p").fails("sluice on host-b", "memory by tcp:", "in clear")
	s.qemuCertificates()
	s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p", "--tls").moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	listed.logged("the guest comes without its host's sluice")
}
