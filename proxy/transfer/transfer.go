package transfer

import (
	"fmt"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/session"
)

// Transfer is how a migration's data is to go, as its flags and parameters say.
type Transfer struct {
	Flags libvirt.DomainMigrateFlags
	// Steered: the data goes through a session; the user has set no URI, or one that it replaces.
	Steered bool
	By      string   // BySluice and so on; empty when there is no data
	InClear string   // what would go in clear, in words
	Options []string // of virsh, by which the user has set URIs
	Aim     Aim      // where those lead, if by tcp: alone

	Channels Channels // that a session takes for it
}

// Aim is where a user wants data to go that a session could take there.
type Aim struct {
	Hosts []string // of the URIs, without brackets; nil if there are none, or others than tcp:HOST
	Disks bool     // disks have one, which libvirt at the source takes from its caller alone
}

// Steer has a session take the data, in place of the user's own URIs.
func (t *Transfer) Steer() {
	t.Steered, t.By, t.InClear = true, session.BySluice, ""
}

// Of reads it from a Prepare, a Begin or a Perform.
func Of(flags uint32, params libvirtrpc.Params) (Transfer, error) {
	t := Transfer{Flags: libvirt.DomainMigrateFlags(flags), Channels: channelsOf(libvirt.DomainMigrateFlags(flags), params)}
	uri, own, err := params.Text(libvirtrpc.ParamURI)
	if err != nil {
		return t, err
	}
	disksURI, ownDisks, err := params.Text(libvirtrpc.ParamDisksURI)
	if err != nil {
		return t, err
	}
	switch {
	case t.Flags&libvirt.MigrateTunnelled != 0:
		t.By = session.ByTunnel
	case t.Flags&libvirt.MigrateTLS != 0:
		t.By = session.ByQEMU
	case t.Flags&libvirt.MigrateOffline != 0 && !t.Disks():
	case !own && !ownDisks:
		t.Steered, t.By = true, session.BySluice
	default:
		t.By = session.ByNothing
		var parts []string
		if own {
			parts, t.Options = append(parts, fmt.Sprintf("memory by %.80q", uri)), append(t.Options, "--migrateuri")
		}
		if ownDisks {
			parts, t.Options = append(parts, fmt.Sprintf("disks by %.80q", disksURI)), append(t.Options, "--disks-uri")
		}
		t.Aim = aim(own, uri, ownDisks, disksURI)
		t.InClear = strings.Join(parts, " and ")
	}
	return t, nil
}

// Disks says whether disks are copied.
func (t Transfer) Disks() bool {
	return t.Flags&(libvirt.MigrateNonSharedDisk|libvirt.MigrateNonSharedInc) != 0
}

// Postcopy says whether the guest may run at the destination while memory is still at the source.
func (t Transfer) Postcopy() bool {
	return t.Flags&(libvirt.MigratePostcopy|libvirt.MigratePostcopyResume) != 0
}

// Protection is what status shows of memory and of disks.
func (t Transfer) Protection() (memory, disks string) {
	if t.Flags&libvirt.MigrateOffline == 0 {
		memory = t.By
	}
	if t.Disks() {
		disks = t.By
	}
	return memory, disks
}

func aim(own bool, uri string, ownDisks bool, disksURI string) (a Aim) {
	for _, one := range []struct {
		is  bool
		uri string
	}{{own, uri}, {ownDisks, disksURI}} {
		if !one.is {
			continue
		}
		u, err := ParseTCP(one.uri)
		if err != nil || u.Hostname() == "" {
			return Aim{}
		}
		a.Hosts = append(a.Hosts, u.Hostname())
	}
	a.Disks = ownDisks
	return a
}
