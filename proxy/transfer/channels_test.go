package transfer

import (
	"testing"

	"github.com/digitalocean/go-libvirt"
)

func TestChannelsOf(t *testing.T) {
	const disks = `<domain><devices><disk><source file='/a'/></disk><disk><source dev='/dev/b'/></disk></devices></domain>`
	for _, c := range []struct {
		flags    libvirt.DomainMigrateFlags
		parallel int
		chosen   int
		want     Channels
	}{
		{0, 0, 0, Channels{1, 0}},
		{0, 9, 5, Channels{1, 0}}, // without the flag it counts for nothing
		{libvirt.MigrateParallel, 0, 0, Channels{3, 0}},
		{libvirt.MigrateParallel | libvirt.MigrateNonSharedDisk, 255, 0, Channels{256, 2}},
		{libvirt.MigratePostcopy | libvirt.MigrateNonSharedInc, 0, 0, Channels{2, 2}},
		{libvirt.MigrateNonSharedDisk, 0, 1, Channels{1, 1}},
		{libvirt.MigrateOffline, 0, 0, Channels{0, 0}},
	} {
		if got := ChannelsOf(c.flags, c.parallel, c.chosen, disks); got != c.want {
			t.Errorf("flags %#x, %d connections: %+v, want %+v", c.flags, c.parallel, got, c.want)
		}
	}
}
