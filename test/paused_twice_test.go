package test

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Debian 12's QEMU would end as soon as the memory of such a guest has gone, and the guest with it.
func TestPausedTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{Paused: true, NVRAM: true})
	moved(a.migrate(g.Name), g, a, b)
	words := []string{"QEMU on host-b is 7.2.", "is lost that came paused", "virsh resume"}
	r := b.migrate(g.Name, "--unsafe").want(control.Failed, 1)
	says(t, "the cause", r.Cause, words...)
	b.virshStart(g, "--unsafe").fails(words...)
	b.virshStart(g, "--p2p").fails(words...)
	s.virshMigrates(s.B, g, strings.Replace(s.tlsURI("host-b"), "//host-b/", "//host-a/", 1), "--p2p").fails(words...)
	s.onlyOn(g, s.B)
	// What the message says helps.
	s.virsh(s.B, "resume", g.Name)
	s.check(g.WaitPasses(s.ctx, s.B, 20))
	s.virsh(s.B, "suspend", g.Name)
	moved(b.migrate(g.Name), g, b, a)
	s.nothingLeft()
}
