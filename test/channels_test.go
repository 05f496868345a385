package test

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// What the help promises works without a setting, and what a host's limits don't allow is refused
// before the guest is touched, by either host and whoever asks.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	t.Run("as many as QEMU takes", func(t *testing.T) {
		s := newSite(t)
		a, b := s.both(conf{})
		g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
		s.check(g.CreateDisks(s.B))
		r := moved(a.migrate(g.Name, "--parallel-connections", "255", "--copy-storage-all"), g, a, b)
		if r.Channels != 257 {
			t.Errorf("%d channels", r.Channels)
		}
		s.nothingLeft()
	})
	for host, limits := range map[string][2]string{"host-a": {"channels = 4", ""}, "host-b": {"", "channels = 4"}} {
		t.Run("more than "+host+" allows", func(t *testing.T) {
			s := newSite(t)
			a, b := s.start(s.A, conf{limits: limits[0], peers: "[peers.host-b]\naccess = \"full\"\n"}), s.start(s.B, conf{limits: limits[1], peers: "[peers.host-a]\naccess = \"full\"\n"})
			g := s.guest(lab.GuestSpec{})
			words := []string{"takes 5 channels (memory 5, disks 0)", "a session on " + host + " may have 4", "limits.channels = 5 on " + host}
			r := a.migrate(g.Name, "--parallel-connections", "4").stays(control.Failed, 1, words...)
			if r.Carried > 1<<20 {
				t.Errorf("%d bytes were carried", r.Carried)
			}
			for _, args := range [][]string{{"--p2p"}, nil} {
				v := a.virshStart(g, append(args, "--parallel", "--parallel-connections", "4")...)
				v.fails(words...)
			}
			moved(a.migrate(g.Name, "--parallel-connections", "3"), g, a, b)
			s.nothingLeft()
		})
	}
}
