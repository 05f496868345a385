package test

import (
	"flag"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// everyGuest has TestGuests move every kind of guest, by both ways in either direction.
var everyGuest = flag.Bool("guests", false, "have TestGuests move every kind of guest")

// A guestKind is guests that have something that others do not.
type guestKind struct {
	name   string
	often  bool // it is tried without -guests, too
	spec   lab.GuestSpec
	accept string   // TOML of both hosts, before the tables
	args   []string // of `sluice migrate` and of virsh alike
	// refused are words of the refusal, where nobody can move such a guest.
	refused []string

	// Each of these may be nil. prepare is called before the guest starts, and started once it runs
	// on host-a.
	prepare, started func(*guestMove)
	// leaves is called before each move, with the host that the guest will come to, and arrives
	// after it, to compare what the guest has there with what it had.
	leaves, arrives func(*guestMove, *lab.Host)
}

// A guestMove is a guest of a kind under test.
type guestMove struct {
	*site
	kind *guestKind
	spec lab.GuestSpec
	g    *lab.Guest
	had  map[string]string // digests by what they are of
}

// Guests of every kind move there by `sluice migrate` and back by stock virsh through the peer's
// socket. After each move their memory is checked, and whatever else they have.
func TestGuests(t *testing.T) {
	t.Parallel()
	for _, k := range guestKinds {
		if !k.often && !*everyGuest {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			m := &guestMove{site: newSite(t), kind: k, spec: k.spec, had: make(map[string]string)}
			a, b := m.both(conf{top: k.accept})
			if k.prepare != nil {
				k.prepare(m)
			}
			m.g = m.guest(m.spec)
			if k.started != nil {
				k.started(m)
			}
			if len(k.refused) > 0 {
				m.stays(a)
				return
			}
			m.goes(a, b, m.bySluice)
			m.goes(b, a, m.byVirsh)
			if *everyGuest {
				m.goes(a, b, m.byVirsh)
				m.goes(b, a, m.bySluice)
			}
		})
	}
}

func (m *guestMove) goes(from, to *daemon, way func(from, to *daemon)) {
	m.t.Helper()
	if m.kind.leaves != nil {
		m.kind.leaves(m, to.host)
	}
	way(from, to)
	if m.kind.arrives != nil {
		m.kind.arrives(m, to.host)
	}
	m.nothingLeft()
}

func (m *guestMove) bySluice(from, to *daemon) {
	m.t.Helper()
	moved(from.migrate(m.g.UUID, m.kind.args...), m.g, from, to)
}

func (m *guestMove) byVirsh(from, to *daemon) {
	m.t.Helper()
	from.virshStart(m.g, append([]string{"--p2p"}, m.kind.args...)...).moves()
	m.check(m.CheckOnlyOn(m.ctx, m.g, to.host))
	from.steered(to, m.g, "sluice")
}

// stays checks that both ways refuse the guest, in words, and leave it as it was.
func (m *guestMove) stays(a *daemon) {
	m.t.Helper()
	if m.kind.leaves != nil {
		m.kind.leaves(m, m.B)
	}
	r := a.migrate(m.g.UUID, m.kind.args...).want(control.Failed, 1)
	says(m.t, "sluice migrate", r.Message, m.kind.refused...)
	m.check(m.CheckOnlyOn(m.ctx, m.g, m.A))
	a.virshStart(m.g, append([]string{"--p2p"}, m.kind.args...)...).fails(m.kind.refused...)
	m.onlyOn(m.g, m.A)
}

// same wants what has just been digested to be what it was when the guest started.
func (m *guestMove) same(what, digest string) {
	m.t.Helper()
	if digest != m.had[what] {
		m.t.Errorf("%s: the digest is %q, and was %q", what, digest, m.had[what])
	}
}

// do runs a program on a host, which must succeed.
func (m *guestMove) do(h *lab.Host, name string, args ...string) string {
	m.t.Helper()
	out, errs, status := m.run(h, name, args...)
	if status != 0 {
		m.t.Fatalf("%s %s on %s ends with status %d: %s%s", name, strings.Join(args, " "), h.Name, status, out, errs)
	}
	return out
}
