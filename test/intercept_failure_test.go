package test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
)

// Both daemons stop in the middle of a migration: first without harm, then at once.
func TestInterceptedStop(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{})
	v := s.interceptedHalfway(a, g)
	a.signal(syscall.SIGTERM)
	a.logged("no new sessions")
	if e := a.live(); e.Kind != "intercept" {
		t.Errorf("a drain has ended it: %+v", e)
	}
	a.signal(syscall.SIGTERM)
	v.fails()
	a.stopped()
	says(t, "host-b", b.ended().Cause, "host-a: the daemon is stopping")
	s.onlyOn(g, s.A)
}

// Where the two sluices don't come together, each says why, and nothing goes in clear.
func TestInterceptedStrangers(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	g := s.guest(lab.GuestSpec{})
	stranger, err := pki.NewCA(pki.Authority{Name: "another CA"})
	s.check(err)
	for _, c := range []struct {
		name  string
		set   func(*conf)
		words []string
	}{
		{"another name", func(c *conf) { c.names = []string{"host-x"} }, []string{"no TLS with host-b", "host-x"}},
		{"another CA", func(c *conf) { c.ca = stranger }, []string{"no TLS with host-b", "another CA"}},
		{"no common policy", func(c *conf) { c.top += "priority = \"NORMAL:-VERS-ALL:+VERS-TLS1.2\"\n" }, []string{"no TLS with host-b", "TLS versions"}},
	} {
		b.killed()
		with := s.interceptConf()
		c.set(&with)
		b = s.start(s.B, with)
		if c.name == "no common policy" {
			a.killed()
			with = s.interceptConf()
			with.top += "priority = \"NORMAL:-VERS-ALL:+VERS-TLS1.3\"\n"
			a = s.start(s.A, with)
		}
		s.watched(func() {
			s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b").fails()
		}).secret(g, 0)
		says(t, c.name, a.ended().Cause, c.words...)
		s.onlyOn(g, s.A)
	}
}

// As long as the rules are there nothing goes in clear, whoever of the two
// sluices is gone, or goes halfway.
func TestInterceptedWithoutSluice(t *testing.T) {
	t.Parallel()
	for name, which := range map[string]int{"source": 0, "destination": 1} {
		t.Run(name, func(t *testing.T) {
			s, a, b := interceptedHosts(t)
			d := []*daemon{a, b}[which]
			g := s.guest(lab.GuestSpec{})
			d.killed()
			s.watched(func() {
				s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b").fails()
			}).secret(g, 0)
			s.check(s.CheckOnlyOn(s.ctx, g, s.A))
			if a.alive() {
				says(t, "host-a", a.ended().Cause, "host-a: nothing listens at host-b's host-b:16514: is sluice running there?")
			}
			d.start()
			s.onlyOn(g, s.A)

			w := s.watched(func() {
				v := s.interceptedHalfway(a, g)
				d.killed()
				v.fails()
			})
			w.secret(g, 2<<20)
			if a.alive() {
				says(t, "host-a", a.ended().Cause, "host-b", "its sluice was killed")
			} else {
				says(t, "host-b", b.ended().Cause, "host-a", "its sluice was killed")
			}
			d.start()
			s.onlyOn(g, s.A)
			s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").moves()
			s.onlyOn(g, s.B)
		})
	}
}

// Where only the destination intercepts, what comes in clear is refused, and
// where only the source does, the destination's sluice takes nothing.
func TestInterceptedAtOneHost(t *testing.T) {
	t.Parallel()
	needs.Program(t, "nft")
	s := newSite(t)
	c := s.interceptConf()
	both := s.start(s.B, c)
	g := s.guest(lab.GuestSpec{})
	both.intercept("up")
	t.Cleanup(func() { both.intercept("down") })
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").fails("Connection refused")
	}).secret(g, 0)
	says(t, "show", both.intercept("show"), "attempts refused")
	s.onlyOn(g, s.A)
	// What is on already is no remedy for a port that it does not cover.
	s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b:5000").fails("sluice on host-b", "client movers (", "tcp:host-b:5000", "leave out --migrateuri", "--tunnelled (or set require_secure")
	both.intercept("down")
	both.killed()

	without := c
	without.peers = strings.Replace(without.peers, "[intercept]", "", 1)
	b := s.start(s.B, without)
	a := s.start(s.A, c)
	a.intercept("up")
	t.Cleanup(func() { a.intercept("down") })
	s.watched(func() {
		s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b").fails()
	}).secret(g, 0)
	says(t, "host-a", a.ended().Cause, "host-b: intercepted connections are not accepted", "[intercept]")
	// By its sluice libvirt over there does not even begin.
	s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").fails("sluice on host-b", "in clear", "sluice intercept up")
	b.logged("migration refused")
	s.onlyOn(g, s.A)
}
