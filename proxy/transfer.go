package proxy

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/session"
)

// transfer is how a migration's data is to go, as its flags and parameters
// say.
type transfer struct {
	flags libvirt.DomainMigrateFlags
	// steered: the user has set no URI, and the data goes through a session.
	steered bool
	by      string // BySluice and so on; empty when there is no data
	exposed string // what would go in clear, in words
}

// transferOf reads it from a Prepare, a Begin or a Perform.
func transferOf(flags uint32, params libvirtrpc.Params) (transfer, error) {
	t := transfer{flags: libvirt.DomainMigrateFlags(flags)}
	uri, own, err := params.Text(libvirtrpc.ParamURI)
	if err != nil {
		return t, err
	}
	disksURI, ownDisks, err := params.Text(libvirtrpc.ParamDisksURI)
	if err != nil {
		return t, err
	}
	switch {
	case t.flags&libvirt.MigrateTunnelled != 0:
		t.by = session.ByTunnel
	case t.flags&libvirt.MigrateTLS != 0:
		t.by = session.ByQEMU
	case t.flags&libvirt.MigrateOffline != 0 && !t.disks():
	case !own && !ownDisks:
		t.steered, t.by = true, session.BySluice
	default:
		t.by = session.ByNothing
		var parts []string
		if own {
			parts = append(parts, "memory by "+scheme(uri))
		}
		if ownDisks {
			parts = append(parts, "disks by "+scheme(disksURI))
		}
		t.exposed = strings.Join(parts, " and ")
	}
	return t, nil
}

// disks says whether disks are copied.
func (t transfer) disks() bool {
	return t.flags&(libvirt.MigrateNonSharedDisk|libvirt.MigrateNonSharedInc) != 0
}

// postcopy says whether the guest may run at the destination while memory is
// still at the source.
func (t transfer) postcopy() bool {
	return t.flags&(libvirt.MigratePostcopy|libvirt.MigratePostcopyResume) != 0
}

// protection is what status shows of memory and of disks.
func (t transfer) protection() (memory, disks string) {
	if t.flags&libvirt.MigrateOffline == 0 {
		memory = t.by
	}
	if t.disks() {
		disks = t.by
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
