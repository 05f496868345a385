package gateway

import (
	"fmt"
	"strconv"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
	"github.com/virt-sluice/sluice/proxy/transfer"
)

// coveredByInterception says whether the data of a migration to this host by tcp: can come through
// sluice alone: the kernel is closed to other hosts at the ports that the caller has named, if any.
// Which those are its table says: the configuration may have been changed since.
func (gw *Gateway) coveredByInterception(params libvirtrpc.Params) bool {
	table := gw.interception()
	return table != nil && coveredBy(&table.Table, params)
}

// interception is what the kernel has, nil if interception is off.
func (gw *Gateway) interception() *rules.State {
	if gw.Config.Intercept == nil {
		return nil
	}
	table, err := rules.Read()
	if err != nil {
		return nil
	}
	return table
}

func coveredBy(table *rules.Table, params libvirtrpc.Params) bool {
	if params.Has(libvirtrpc.ParamDisksPort) {
		return false
	}
	for _, field := range []string{libvirtrpc.ParamURI, libvirtrpc.ParamDisksURI} {
		uri, is, err := params.Text(field)
		if err != nil || is && !closedAt(table, uri) {
			return false
		}
	}
	return true
}

// closedAt says whether a URI is of the kind tcp:HOST[:PORT], and the port, if
// there is one, is closed to other hosts.
func closedAt(table *rules.Table, uri string) bool {
	u, err := transfer.ParseTCP(uri)
	if err != nil {
		return false
	}
	if u.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && table.Has(uint16(port))
}

// checkPorts refuses a migration for which libvirt here has chosen a port, for
// memory or for disks, that is open to other hosts. ports are where it waits.
func (gw *Gateway) checkPorts(r *libvirtrpc.Reply, params libvirtrpc.Params, disks bool) (ports []uint16, refusal *libvirtrpc.Error) {
	prepared, err := libvirtrpc.DecodePrepared(r.Body)
	disksPort := 0
	if err == nil && disks {
		disksPort, err = libvirtrpc.NBDPort(prepared.Cookie)
	}
	if err != nil {
		return nil, libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
	}
	refuse := func(format string, args ...any) ([]uint16, *libvirtrpc.Error) {
		return nil, libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice on %s: %s", gw.Config.Name, fmt.Sprintf(format, args...))
	}
	table, err := rules.Read()
	if err != nil {
		return refuse("nothing would keep the guest's data secret any more: %v", err)
	}
	if !coveredBy(&table.Table, params) {
		return refuse("`sluice intercept` was changed meanwhile, and does not cover the migration's URI any more: migrate again")
	}
	remedy := fmt.Sprintf("which is open to other hosts: the kernel has closed %d-%d. migration_port_min and migration_port_max in qemu.conf must be intercept.ports (%s), which `sluice intercept up` takes over",
		table.First, table.Last, gw.Config.Intercept.Ports)
	switch {
	case prepared.URI != nil && !closedAt(&table.Table, *prepared.URI):
		return refuse("libvirt waits for the guest at %.80q, %s", *prepared.URI, remedy)
	case disksPort != 0 && !table.Has(uint16(disksPort)):
		return refuse("libvirt waits for the guest's disks at port %d, %s", disksPort, remedy)
	}
	uri, _, _ := params.Text(libvirtrpc.ParamURI) // which coveredBy has read
	if prepared.URI != nil {
		uri = *prepared.URI
	}
	if u, err := transfer.ParseTCP(uri); err == nil {
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			ports = append(ports, uint16(port))
		}
	}
	if disksPort != 0 {
		ports = append(ports, uint16(disksPort))
	}
	return ports, nil
}
