package test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

func TestVirshParallel(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DisksMiB: []int{8}})
	s.check(g.CreateDisks(s.B))
	a.virshMigrate(b, g, "--p2p", "--parallel", "--parallel-connections", "4", "--copy-storage-all")
	s.check(s.CompareDisks(s.ctx, g))
	memory := 0
	for _, e := range b.status().Ended {
		for _, c := range e.Channels {
			if c.Kind == "memory" {
				memory++
			}
		}
	}
	if memory != 5 {
		t.Errorf("%d channels for memory, want 5", memory)
	}
	s.nothingLeft()
	b.virshMigrate(a, g, "--p2p", "--parallel", "--parallel-connections", "3", "--unsafe")
	s.nothingLeft()
}

func TestVirshTunnelled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	s.virsh(a.host, "migrate", "--live", g.Name, a.uri(), "--p2p", "--tunnelled")
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	a.steered(b, g, "sluice (libvirt's tunnel)")
	for _, e := range b.status().Ended {
		if e.Kind == "libvirt" && e.Received < uint64(g.Spec.MemoryMiB-1)<<20 {
			t.Errorf("the tunnel carried %d bytes", e.Received)
		}
	}
	s.nothingLeft()
}

func TestVirshPersistent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{Persistent: true})
	a.virshMigrate(b, g, "--p2p", "--persistent", "--undefinesource", "--abort-on-error")
	if left := s.virsh(s.A, "list", "--all", "--name"); left != "" {
		t.Errorf("host-a still defines %q", left)
	}
	if info := s.virsh(s.B, "dominfo", g.Name); !strings.Contains(strings.Join(strings.Fields(info), " "), "Persistent: yes") {
		t.Errorf("on host-b:\n%s", info)
	}
	s.nothingLeft()
}

// passAndAHalf ends a session of dirtyGuest after its first pass over memory, before what comes
// then.
const passAndAHalf = "session_bytes = 88000000\n"

// limitInTime is a link, in bytes per second, by which that end comes 2.5 s after the first pass:
// in that time virsh has to hear of the pass, and to ask for post-copy.
const limitInTime = 8 << 20

var dirtyGuest = lab.GuestSpec{MemoryMiB: 64, DirtyMiB: 32}

// No limit of a session's ends a post-copy, on either host: once libvirt says that it is one.
func TestVirshPostCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: passAndAHalf})
	g := s.guest(dirtyGuest)
	s.check(s.SlowLink(limitInTime))
	a.virshMigrate(b, g, "--p2p", "--postcopy", "--postcopy-after-precopy")
	s.check(s.SlowLink(0))
	s.nothingLeft()
}

// A post-copy whose link breaks is resumed through a session of its own.
func TestVirshPostCopyResume(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: patience + "idle_timeout = \"2s\"\n"})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DirtyMiB: 16})
	s.check(s.SlowLink(12 << 20))
	v := a.virshStart(g, "--p2p", "--postcopy")
	v.flows(a, g)
	s.virsh(s.A, "migrate-postcopy", g.Name)
	s.wait("the guest runs on host-b", 60*time.Second, func() bool {
		state, err := s.B.Virsh(s.ctx, "domstate", g.Name)
		return err == nil && state == "running"
	})
	// A guest whose very first steps miss pages can hold up QEMU's monitor over
	// there, and libvirt with it: let it have what its interrupts need.
	var had uint64
	s.wait("the guest gets its pages", 30*time.Second, func() bool {
		for _, e := range b.status().Sessions {
			if e.Kind == "steered" && had == 0 {
				had = e.Received
			} else if e.Kind == "steered" && e.Received > had+(8<<20) {
				return true
			}
		}
		return false
	})
	s.check(s.CutLink())
	v.fails()
	a.ended()
	b.ended()
	s.wait("libvirt sees the break on both hosts", 60*time.Second, func() bool {
		// libvirt leaves it running over there, where it stops by itself at the
		// first page that it lacks.
		return s.virsh(s.A, "domstate", "--reason", g.Name) == "paused (post-copy failed)" &&
			s.virsh(s.B, "domstate", "--reason", g.Name) == "running (post-copy failed)"
	})
	s.check(s.RestoreLink())
	s.check(s.SlowLink(0))
	a.virshStart(g, "--p2p", "--postcopy", "--postcopy-resume").moves()
	s.onlyOn(g, s.B)
}

func TestVirshAbort(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	v := a.virshStart(g, "--p2p", "--abort-on-error", "--bandwidth", "8")
	v.flows(a, g)
	s.virsh(s.A, "domjobabort", g.Name)
	v.fails("canceled by client")
	s.onlyOn(g, s.A)
	for _, d := range []*daemon{a, b} {
		for _, e := range d.status().Ended {
			if e.Kind == "steered" && (e.Outcome == "moved" || e.Cause == "") {
				t.Errorf("%s shows %+v", d.host.Name, e)
			}
		}
	}
	// And again, to its end.
	a.virshMigrate(b, g, "--p2p")
	s.nothingLeft()
}

// A timeout suspends the guest, whose migration then ends by itself.
func TestVirshTimeout(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	v := a.virshStart(g, "--p2p", "--bandwidth", "8", "--timeout", "2", "--timeout-suspend")
	v.flows(a, g)
	s.wait("the guest is suspended", 30*time.Second, func() bool {
		state, err := s.A.Virsh(s.ctx, "domstate", g.Name)
		return err == nil && state == "paused"
	})
	v.moves()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	a.steered(b, g, "sluice")
	s.nothingLeft()
}

// Several guests at once, over a connection each.
func TestVirshManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	type move struct {
		g        *lab.Guest
		from, to *daemon
		v        *virshRun
	}
	moves := []*move{{from: a, to: b}, {from: b, to: a}, {from: a, to: b}, {from: a, to: b}}
	for i, m := range moves {
		m.g = s.guestOn(m.from.host, lab.GuestSpec{Name: fmt.Sprintf("g%d", i)})
	}
	var all sync.WaitGroup
	for _, m := range moves {
		m.v = m.from.virshStart(m.g, "--p2p")
		all.Go(func() { <-m.v.done })
	}
	all.Wait()
	for _, m := range moves {
		m.v.moves()
		s.check(s.CheckOnlyOn(s.ctx, m.g, m.to.host))
		m.from.steered(m.to, m.g, "sluice")
	}
	s.nothingLeft()
}
