package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// leastCarried is how many bytes the migration of a guest takes at least: memory that is filled does
// not compress, and UEFI leaves most of it zero.
func leastCarried(g *lab.Guest) uint64 {
	if g.Spec.UEFI {
		return 1 << 20
	}
	return uint64(g.Spec.MemoryMiB-1) << 20
}

// moved waits for the end of a migration that must succeed, and checks what both daemons say of it.
func moved(m *migration, g *lab.Guest, from, to *daemon) *control.Result {
	m.s.t.Helper()
	r := m.want(control.Moved, 0)
	says(m.s.t, "the message", r.Message, g.Name, "runs on "+to.host.Name)
	m.s.check(m.s.CheckOnlyOn(m.s.ctx, g, to.host))
	if r.Carried < leastCarried(g) {
		m.s.t.Errorf("%d bytes were carried for a guest of %d MiB", r.Carried, g.Spec.MemoryMiB)
	}
	if r.Cause != "" {
		m.s.t.Errorf("the cause is %q", r.Cause)
	}
	for _, d := range []*daemon{from, to} {
		m.s.wait("the session's end on "+d.host.Name, 10*time.Second, func() bool {
			for _, e := range d.status().Ended {
				if e.ID == r.Session {
					if e.Outcome != control.Moved || e.Cause != "" || e.Guest != g.Name || e.TLS != r.TLS {
						m.s.t.Fatalf("%s shows the session as %+v", d.host.Name, e)
					}
					return true
				}
			}
			return false
		})
	}
	return r
}

func TestMemory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{MemoryMiB: 256, DirtyMiB: 4})
	r := moved(a.migrate(g.Name), g, a, b)
	if r.TLS != "TLS1.3" || r.Suite == "" || r.Path == "" || r.Channels != 1 {
		t.Errorf("TLS %q, suite %q, path %q, %d channels", r.TLS, r.Suite, r.Path, r.Channels)
	}
	if r.Downtime <= 0 || r.Downtime > 10*time.Second {
		t.Errorf("downtime %v", r.Downtime)
	}
	s.nothingLeft()
	// And back again, by UUID.
	moved(b.migrate(r.UUID), g, b, a)
	s.nothingLeft()
}

func TestPersistent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{Persistent: true})
	moved(a.migrate(g.Name, "--persistent", "--undefinesource"), g, a, b)
	if left := s.virsh(s.A, "list", "--all", "--name"); left != "" {
		t.Errorf("host-a still defines %q", left)
	}
	if info := s.virsh(s.B, "dominfo", g.Name); !strings.Contains(strings.Join(strings.Fields(info), " "), "Persistent: yes") {
		t.Errorf("on host-b:\n%s", info)
	}
	s.nothingLeft()
}

func TestPaused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{Paused: true})
	moved(a.migrate(g.Name), g, a, b)
	s.nothingLeft()
}

func TestCopyStorage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{48, 7}})
	s.check(g.CreateDisks(s.B))
	m := a.migrate(g.Name, "--copy-storage-all")
	r := moved(m, g, a, b)
	s.check(s.CompareDisks(s.ctx, g))
	if r.Carried < (64+48+7-1)<<20 {
		t.Errorf("%d bytes were carried", r.Carried)
	}
	kinds := map[string]int{}
	for _, c := range b.ended().Channels {
		kinds[c.Kind]++
	}
	if kinds["memory"] != 1 || kinds["disk"] != 2 {
		t.Errorf("channels: %v", kinds)
	}
	s.nothingLeft()
}

func TestParallelConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128})
	// QEMU 7.2 takes the first connection for the main one: if two changed
	// places the migration would hang.
	for i := range 4 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		r := moved(from.migrate(g.Name, "--parallel-connections", "4"), g, from, to)
		if r.Channels != 5 {
			t.Fatalf("%d channels, want 5", r.Channels)
		}
		busy := 0
		for _, c := range to.ended().Channels {
			if c.Received > 1<<20 {
				busy++
			}
		}
		if busy < 4 {
			t.Errorf("only %d of the channels carried memory: %+v", busy, to.ended().Channels)
		}
	}
	s.nothingLeft()
}

func TestPostCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	// It dirties memory faster than goes through: pre-copy would never end.
	g := s.guest(lab.GuestSpec{MemoryMiB: 64, DirtyMiB: 32})
	m := a.migrate(g.Name, "--postcopy", "--bandwidth", "32")
	m.until("post-copy", func(p control.Progress) bool { return p.Phase == control.PhasePost })
	moved(m, g, a, b)
	s.nothingLeft()
}

func TestThreeAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	type move struct {
		g        *lab.Guest
		m        *migration
		from, to *daemon
	}
	moves := []*move{{from: a, to: b}, {from: b, to: a}, {from: a, to: b}}
	for i, v := range moves {
		v.g = s.guestOn(v.from.host, lab.GuestSpec{Name: fmt.Sprintf("g%d", i)})
	}
	for _, v := range moves {
		v.m = v.from.migrate(v.g.Name, "--bandwidth", "32")
	}
	s.wait("three sessions at once", 20*time.Second, func() bool { return len(a.status().Sessions) == 3 && len(b.status().Sessions) == 3 })
	for _, v := range moves {
		moved(v.m, v.g, v.from, v.to)
	}
	s.nothingLeft()
}

// TestBandwidth is alone on the machine, since it measures.
func TestBandwidth(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		limits string
	}{
		{"asked for", []string{"--bandwidth", "24"}, ""},
		{"session", nil, "session_bandwidth = 24"},
		{"total", nil, "total_bandwidth = 24"},
		{"parallel", []string{"--parallel-connections", "3"}, "session_bandwidth = 24"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.both(conf{limits: c.limits})
			g := s.guest(lab.GuestSpec{MemoryMiB: 96, Paused: true})
			m := a.migrate(g.Name, c.args...)
			moved(m, g, a, b)
			var memory []control.Progress
			for _, p := range m.events.Progress() {
				if p.Phase == control.PhaseMemory && p.Carried > 4<<20 {
					memory = append(memory, p)
				}
			}
			if len(memory) < 4 {
				t.Fatalf("%d progress events while memory flowed: %+v", len(memory), m.events.Progress())
			}
			first, last := memory[0], memory[len(memory)-1]
			rate := float64(last.Carried-first.Carried) / (last.Elapsed - first.Elapsed).Seconds() / (1 << 20)
			t.Logf("%.1f MiB/s over %v", rate, last.Elapsed-first.Elapsed)
			if rate < 24*0.85 || rate > 24*1.15 {
				t.Errorf("%.1f MiB/s, want 24 within 15 %%", rate)
			}
			s.nothingLeft()
		})
	}
}
