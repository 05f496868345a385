package transfer

import (
	"fmt"
	"slices"
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
	URIs    []string // those, without what is too long for a URI to a host
	Aim     Aim      // where they lead, if by tcp: alone

	Channels Channels // that a session takes for it
}

// Aim is where a user wants data to go: the hosts of URIs of the kind tcp:HOST, without brackets;
// empty where there is none, and both if one is of another kind.
type Aim struct {
	Memory, Disks string
	// Told: the call by which the data starts passes a sluice, which tells libvirt at the source
	// where it goes. Else libvirt has that of disks from its caller alone.
	Told bool
}

// Hosts are those in whose place a session could take all of the data; nil if none could.
func (a Aim) Hosts() (hosts []string) {
	if a.Disks != "" && !a.Told {
		return nil
	}
	for _, host := range []string{a.Memory, a.Disks} {
		if host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
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
		for _, one := range []struct {
			is                bool
			data, uri, option string
		}{{own, "memory", uri, "--migrateuri"}, {ownDisks, "disks", disksURI, "--disks-uri"}} {
			if one.is {
				parts = append(parts, fmt.Sprintf("%s by %.80q", one.data, one.uri))
				t.Options, t.URIs = append(t.Options, one.option), append(t.URIs, fmt.Sprintf("%.200s", one.uri))
			}
		}
		t.Aim = aim(uri, disksURI)
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

func aim(uri, disksURI string) (a Aim) {
	for _, one := range []struct {
		host *string
		uri  string
	}{{&a.Memory, uri}, {&a.Disks, disksURI}} {
		if one.uri == "" {
			continue
		}
		u, err := ParseTCP(one.uri)
		if err != nil || u.Hostname() == "" {
			return Aim{}
		}
		*one.host = u.Hostname()
	}
	return a
}
