package test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// virshRun is a virsh under way.
type virshRun struct {
	s    *site
	cmd  *lab.Cmd
	errs bytes.Buffer
	done chan struct{}
}

// virshStart starts a migration to the other host with stock virsh.
func (d *daemon) virshStart(g *lab.Guest, args ...string) *virshRun {
	d.s.t.Helper()
	return d.s.virshMigrates(d.host, g, d.uri(), args...)
}

// virshMigrates starts a migration from h to where a libvirt URI leads.
func (s *site) virshMigrates(h *lab.Host, g *lab.Guest, uri string, args ...string) *virshRun {
	s.t.Helper()
	return s.virshStart(h, append([]string{"-c", "qemu:///system", "migrate", "--live", g.Name, uri}, args...)...)
}

// virshStart starts virsh on a host.
func (s *site) virshStart(h *lab.Host, args ...string) *virshRun {
	s.t.Helper()
	v := &virshRun{s: s, done: make(chan struct{})}
	v.cmd = h.Command(s.ctx, "virsh", append([]string{"-q"}, args...)...)
	v.cmd.Stderr = &v.errs
	s.check(v.cmd.Start())
	go func() {
		v.cmd.Wait()
		close(v.done)
	}()
	return v
}

func (v *virshRun) running() bool {
	select {
	case <-v.done:
		return false
	default:
		return true
	}
}

// ends waits for virsh's end and returns what it said, and its status.
func (v *virshRun) ends() (string, int) {
	v.s.t.Helper()
	v.s.wait("the end of virsh migrate", 90*time.Second, func() bool { return !v.running() })
	return v.errs.String(), v.cmd.ProcessState.ExitCode()
}

// moves waits for virsh's end, which must be a success.
func (v *virshRun) moves() {
	v.s.t.Helper()
	if said, status := v.ends(); status != 0 {
		v.s.t.Fatalf("virsh migrate ended with status %d: %s", status, said)
	}
}

// fails waits for virsh's end, which must be a failure in these words.
func (v *virshRun) fails(words ...string) {
	v.s.t.Helper()
	said, status := v.ends()
	if status == 0 {
		v.s.t.Fatal("virsh migrate succeeded")
	}
	says(v.s.t, "virsh", said, words...)
}

// flows waits until a part of memory has gone through the daemon.
func (v *virshRun) flows(d *daemon, g *lab.Guest) {
	v.s.t.Helper()
	v.s.wait("memory flows", time.Minute, func() bool {
		if !v.running() {
			v.s.t.Fatalf("virsh migrate ended before: %s", v.errs.String())
		}
		for _, e := range d.status().Sessions {
			if e.Kind == "steered" && e.Guest == g.Name && e.Sent > 2<<20 {
				return true
			}
		}
		return false
	})
}

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

// No limit of a session's ends a post-copy, on either host.
func TestVirshPostCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: "session_bytes = 20000000\n"})
	g := s.guest(lab.GuestSpec{MemoryMiB: 64, DirtyMiB: 32})
	s.check(s.SlowLink(24 << 20))
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
