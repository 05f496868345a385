package test

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// pulls are two daemons of which host-a's lets host-b's clients do everything.
func (s *site) pulls() (a, b *daemon) {
	s.t.Helper()
	return s.start(s.A, conf{peers: "[peers.host-b]\naccess = \"full\"\n"}), s.start(s.B, conf{})
}

// virsh on the destination takes a guest: the source's libvirt is reached
// through sluice, its own directly.
func TestVirshPull(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.pulls()
	g := s.guest(lab.GuestSpec{DisksMiB: []int{16}})
	s.check(g.CreateDisks(s.B))
	for _, own := range [][]string{
		{"--parallel"},
		{"--migrateuri", "tcp:" + s.B.Addr + ":21200", "--disks-uri", "tcp://" + s.B.Addr + ":21201"}, // ports that the kernel gives to no other connection
	} {
		s.watched(func() {
			s.virshSays(s.B, append([]string{"-c", b.uri(), "migrate", "--live", g.Name, "qemu:///system", "--copy-storage-all"}, own...)...)
		}).secret(g, 0)
		s.check(s.CheckOnlyOn(s.ctx, g, s.B))
		s.check(s.CompareDisks(s.ctx, g))
		a.steered(b, g, "sluice")
		for _, c := range b.ended().Channels {
			if c.TLS == "" {
				t.Errorf("%q: channel %s has no TLS", own, c.Name)
			}
		}
		s.nothingLeft()
		b.virshMigrate(a, g, "--p2p", "--copy-storage-all")
	}
}

// No limit of a session's ends a post-copy, on either host.
func TestVirshPullPostCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	few := passAndAHalf
	s.start(s.A, conf{peers: "[peers.host-b]\naccess = \"full\"\n", limits: few})
	b := s.start(s.B, conf{limits: few})
	g := s.guest(dirtyGuest)
	s.check(s.SlowLink(limitInTime))
	s.virshSays(s.B, "-c", b.uri(), "migrate", "--live", g.Name, "qemu:///system", "--postcopy", "--postcopy-after-precopy")
	s.check(s.SlowLink(0))
	s.onlyOn(g, s.B)
}

// virsh on the destination tells the source's libvirt to bring a guest here.
func TestVirshPullPeerToPeer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.pulls()
	g := s.guest(lab.GuestSpec{})
	// Past sluice it would go in clear.
	s.virshFails(s.B, []string{"-c", b.uri(), "migrate", "--live", "--p2p", g.Name, "qemu+tcp://host-b/system"}, "sluice on host-a", "in clear")
	// So would libvirt's tunnel.
	s.virshFails(s.B, []string{"-c", b.uri(), "migrate", "--live", "--p2p", "--tunnelled", g.Name, "qemu+tcp://host-b/system"}, "sluice on host-a", "in clear", "tunnel to a URI without TLS")
	s.virshSays(s.B, "-c", b.uri(), "migrate", "--live", "--p2p", g.Name, a.uri())
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	a.steered(b, g, "sluice")
	s.nothingLeft()
}

// A client with full access may do what it likes, but for a guest in clear.
func TestVirshFullAccess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, b := s.pulls()
	g := s.guest(lab.GuestSpec{})
	for _, args := range [][]string{{"suspend", g.Name}, {"dumpxml", g.Name}, {"resume", g.Name}} {
		s.virshSays(s.B, append([]string{"-c", b.uri()}, args...)...)
	}
	s.virshFails(s.B, []string{"-c", b.uri(), "migrate", "--live", g.Name, "qemu:///system", "--migrateuri", "unix:///tmp/own.sock", "--disks-uri", "unix:///tmp/own-disks.sock", "--copy-storage-all"}, "sluice on host-a", "in clear")
	s.onlyOn(g, s.A)
}
