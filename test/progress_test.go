package test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// limited is what a session may carry in MiB/s, for tests that look on.
const limited = 12

// guestSession is the daemon's live session that has the guest's data, or nil.
func (d *daemon) guestSession(g *lab.Guest) *control.SessionStatus {
	d.s.t.Helper()
	for _, e := range d.status().Sessions {
		if e.Guest == g.Name && (e.Kind == "steered" || e.Kind == "migration") {
			return &e
		}
	}
	return nil
}

// left is what `virsh domjobinfo` says is left of a guest, in bytes.
func (s *site) left(h *lab.Host, g *lab.Guest) float64 {
	s.t.Helper()
	said := s.virshSays(h, "domjobinfo", g.Name)
	m := regexp.MustCompile(`Data remaining: +([0-9.]+) (B|KiB|MiB|GiB)`).FindStringSubmatch(said)
	if m == nil {
		s.t.Fatalf("virsh domjobinfo: %s", said)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	s.check(err)
	return n * map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
}

// Both hosts say how far a migration is, whoever runs it and by whichever way: what libvirt at the
// source says, and at what rate it goes, at the first look already.
func TestProgress(t *testing.T) {
	t.Parallel()
	const clients = "[clients.operators]\nnames = [\"operator\"]\naccess = \"full\"\n"
	for _, c := range []struct {
		name string
		run  func(s *site, a, b *daemon, g *lab.Guest) (moves func())
	}{
		{"sluice migrate", func(s *site, a, b *daemon, g *lab.Guest) func() {
			m := a.migrate(g.Name)
			return func() { moved(m, g, a, b) }
		}},
		{"peer to peer", func(s *site, a, b *daemon, g *lab.Guest) func() { return a.virshStart(g, "--p2p").moves }},
		{"managed", func(s *site, a, b *daemon, g *lab.Guest) func() { return a.virshStart(g).moves }},
		{"pull", func(s *site, a, b *daemon, g *lab.Guest) func() {
			return s.virshStart(s.B, "-c", b.uri(), "migrate", "--live", g.Name, "qemu:///system").moves
		}},
		{"rendezvous", func(s *site, a, b *daemon, g *lab.Guest) func() {
			toB := s.tlsURI("operator")
			return s.virshStart(s.B, "-c", strings.Replace(toB, "//host-b/", "//host-a/", 1), "migrate", "--live", g.Name, toB).moves
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			limits := fmt.Sprintf("session_bandwidth = %d", limited)
			a := s.start(s.A, conf{limits: limits, peers: "[peers.host-b]\naccess = \"full\"\n" + clients})
			b := s.start(s.B, conf{limits: limits, peers: "[peers.host-a]\n" + clients})
			g := s.guest(lab.GuestSpec{MemoryMiB: 192, Paused: true})
			moves := c.run(s, a, b, g)
			s.looksOn(a, b, g)
			moves()
			s.onlyOn(g, s.B)
		})
	}
}

// looksOn looks at a migration of a paused guest at the limited rate.
func (s *site) looksOn(a, b *daemon, g *lab.Guest) {
	s.t.Helper()
	const rate = limited << 20
	for _, d := range []*daemon{a, b} {
		// The first look at a session under way has its rate.
		var e *control.SessionStatus
		s.wait("memory flows through "+d.host.Name, time.Minute, func() bool {
			e = d.guestSession(g)
			return e != nil && e.Sent+e.Received > 2<<20
		})
		if e.Rate == 0 {
			s.t.Errorf("%s shows a rate of 0 after %d bytes", d.host.Name, e.Sent+e.Received)
		}
	}
	for _, d := range []*daemon{a, b} {
		var e *control.SessionStatus
		s.wait("libvirt's figures and a steady rate on "+d.host.Name, 20*time.Second, func() bool {
			e = d.guestSession(g)
			if e == nil {
				s.t.Fatalf("%s has no session of the guest any more", d.host.Name)
			}
			return e.Progress.Remaining > 0 && e.Progress.Iteration == 1 && e.Rate > rate*3/4 && e.Rate < rate*5/4
		})
		p, left := e.Progress, s.left(s.A, g)
		// virsh takes its time, so that is between two looks, whose figures may be some time old.
		before, after := float64(p.Remaining), 0.0
		if next := d.guestSession(g); next != nil {
			after = float64(next.Progress.Remaining)
		}
		if before < left-rate || after > left+3*rate {
			s.t.Errorf("%s says that %.0f, then %.0f MiB are left, and libvirt in between %.0f MiB", d.host.Name, before/(1<<20), after/(1<<20), left/(1<<20))
		}
		if p.Phase != control.PhaseMemory || e.Phase != p.Phase || p.Percent <= 0 || p.Percent >= 100 || p.Total < 192<<20 || p.Rate != e.Rate || p.Stalled != "" {
			s.t.Errorf("%s: %+v in phase %s", d.host.Name, *p, e.Phase)
		}
		if eta := p.ETA.Seconds(); eta < float64(p.Remaining)/rate/2 || eta > float64(p.Remaining)/rate*2 {
			s.t.Errorf("%s: %v for %d bytes", d.host.Name, p.ETA, p.Remaining)
		}
	}
}
