package test

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// uri is the one that a libvirt client on this daemon's host uses to reach the
// other host's libvirt.
func (d *daemon) uri() string {
	return "qemu+unix:///system?socket=/run/sluice/peers/" + d.host.Peer().Name + "/libvirt.sock"
}

// virshMigrate moves a guest with stock virsh, and checks that it did, that
// the data went through a session of its own, and that both daemons say so.
func (d *daemon) virshMigrate(to *daemon, g *lab.Guest, args ...string) {
	d.s.t.Helper()
	d.s.virsh(d.host, append([]string{"migrate", "--live", g.Name, d.uri()}, args...)...)
	d.s.check(d.s.CheckOnlyOn(d.s.ctx, g, to.host))
	d.steered(to, g, "sluice")
}

// steered checks what both daemons say of the last migration of a guest.
func (d *daemon) steered(to *daemon, g *lab.Guest, by string) {
	d.s.t.Helper()
	var ids []string
	for _, one := range []*daemon{d, to} {
		one.ended()
		for _, e := range one.status().Ended {
			if e.Kind != "steered" || e.Guest != g.Name {
				continue
			}
			ids = append(ids, e.ID)
			if e.Outcome != "moved" || e.Cause != "" || e.Memory != by {
				d.s.t.Errorf("%s shows the session as %+v", one.host.Name, e)
			}
			if by == "sluice" && e.Sent+e.Received < leastCarried(g) {
				d.s.t.Errorf("%s carried %d bytes of a guest of %d MiB", one.host.Name, e.Sent+e.Received, g.Spec.MemoryMiB)
			}
			break
		}
	}
	if len(ids) != 2 || ids[0] != ids[1] {
		d.s.t.Errorf("the sessions are %v", ids)
	}
}

func TestVirshPeerToPeer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128})
	a.virshMigrate(b, g, "--p2p")
	s.nothingLeft()
	b.virshMigrate(a, g, "--p2p")
	s.nothingLeft()
}

func TestVirshCopyStorage(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"--copy-storage-all", "--copy-storage-inc"} {
		t.Run(how, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{})
			g := s.guest(lab.GuestSpec{DisksMiB: []int{48, 7}})
			s.check(g.CreateDisks(s.B))
			a.virshMigrate(b, g, "--p2p", how)
			s.check(s.CompareDisks(s.ctx, g))
			disks := 0
			for _, c := range b.ended().Channels {
				if c.Kind == "disk" {
					disks++
				}
			}
			for _, e := range b.status().Ended {
				if e.Kind == "steered" && e.Disks != "sluice" {
					t.Errorf("disks are protected by %q", e.Disks)
				}
			}
			s.nothingLeft()
		})
	}
}

func TestVirshClientManaged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{16}})
	s.check(g.CreateDisks(s.B))
	a.virshMigrate(b, g, "--copy-storage-all")
	s.check(s.CompareDisks(s.ctx, g))
	if out := strings.TrimSpace(s.virsh(s.A, "list", "--name")); out != "" {
		t.Errorf("still on host-a: %s", out)
	}
	s.nothingLeft()
}
