package transfer

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/session"
)

// Transfer is how a migration's data is to go, as its flags and parameters say.
type Transfer struct {
	Flags libvirt.DomainMigrateFlags
	// Steered: the user has set no URI, and the data goes through a session.
	Steered bool
	By      string // BySluice and so on; empty when there is no data
	InClear string // what would go in clear, in words
}

// Of reads it from a Prepare, a Begin or a Perform.
func Of(flags uint32, params libvirtrpc.Params) (Transfer, error) {
	t := Transfer{Flags: libvirt.DomainMigrateFlags(flags)}
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
			parts = append(parts, "memory by "+scheme(uri))
		}
		if ownDisks {
			parts = append(parts, "disks by "+scheme(disksURI))
		}
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

func scheme(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return fmt.Sprintf("%.40q", uri)
	}
	return u.Scheme + ":"
}
