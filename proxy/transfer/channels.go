package transfer

import (
	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// Channels is how many channels of a session a migration takes at most.
type Channels struct{ Memory, Disks int }

// All is their sum.
func (c Channels) All() int { return c.Memory + c.Disks }

// defaultConnections is what QEMU takes where nobody says how many (multifd-channels in
// qapi/migration.json).
const defaultConnections = 2

// ChannelsOf counts them, by libvirt's flags and the guest's description. parallel is what was asked
// for, 0 for QEMU's default, and chosen is how many disks were, 0 for all that are copied by default.
// In a description that can't be read there are none.
func ChannelsOf(flags libvirt.DomainMigrateFlags, parallel, chosen int, description string) (c Channels) {
	t := Transfer{Flags: flags}
	if flags&libvirt.MigrateOffline == 0 {
		c.Memory = 1
	}
	if flags&libvirt.MigrateParallel != 0 {
		if parallel == 0 {
			parallel = defaultConnections
		}
		c.Memory += parallel
	}
	if t.Postcopy() {
		c.Memory++ // for pages that the guest waits for (postcopy-preempt)
	}
	if t.Disks() && chosen > 0 {
		c.Disks = chosen
	} else if t.Disks() {
		disks, _ := domainxml.Disks(description, nil)
		c.Disks = len(disks)
	}
	return c
}

// channelsOf is ChannelsOf a client's call.
func channelsOf(flags libvirt.DomainMigrateFlags, params libvirtrpc.Params) Channels {
	parallel, _ := params.Int(libvirt.MigrateParamParallelConnections)
	description, _, _ := params.Text(libvirtrpc.ParamDestXML)
	return ChannelsOf(flags, parallel, params.Count(libvirt.MigrateParamMigrateDisks), description)
}
