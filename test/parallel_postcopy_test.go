package test

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Debian 12's QEMU would lose the guest, and say that it has moved.
func TestParallelPostCopyRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	both := []string{"--postcopy", "--parallel", "--unsafe"}
	words := []string{"QEMU on host-b is 7.2.", "loses the guest", "leave out one of --postcopy and --parallel", "10.1"}
	a.migrate(g.Name, both...).stays(control.Failed, 1, words...)
	a.virshStart(g, both...).fails(words...)
	a.virshStart(g, append(both, "--p2p")...).fails(words...)
	s.virshMigrates(s.A, g, s.tlsURI("host-a"), append(both, "--p2p")...).fails(words...)
	s.onlyOn(g, s.A)
}
