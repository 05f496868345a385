package proxy

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/intercept"
)

// byInterception is what keeps the data of a migration secret that QEMU sends
// to this host by itself.
const byInterception = "sluice (interception)"

// covered says whether the data of a migration to this host by tcp: can come
// through sluice alone: the kernel is closed to other hosts at the ports that
// the caller has named, if any, and that libvirt chooses from.
func (d *Daemon) covered(params libvirtrpc.Params) bool {
	if d.cfg.Intercept == nil || params.Has(libvirtrpc.ParamDisksPort) {
		return false
	}
	for _, field := range []string{libvirtrpc.ParamURI, libvirtrpc.ParamDisksURI} {
		uri, is, err := params.Text(field)
		if err != nil || is && !d.closedAt(uri) {
			return false
		}
	}
	_, err := intercept.Read()
	return err == nil
}

// closedAt says whether a URI is of the kind tcp:HOST[:PORT], which libvirt
// takes with and without slashes, and the port, if there is one, is a migration
// port.
func (d *Daemon) closedAt(uri string) bool {
	if rest, is := strings.CutPrefix(uri, "tcp:"); is && !strings.HasPrefix(rest, "//") {
		uri = "tcp://" + rest
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "tcp" {
		return false
	}
	if u.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	first, last := d.cfg.Intercept.Range()
	return err == nil && uint16(port) >= first && uint16(port) <= last
}

// checkPort refuses a migration for which libvirt here has chosen a port that
// is open to other hosts.
func (d *Daemon) checkPort(r *libvirtrpc.Reply) *libvirtrpc.Error {
	prepared, err := libvirtrpc.DecodePrepared(r.Body)
	switch {
	case err != nil:
		return libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
	case prepared.URI != nil && !d.closedAt(*prepared.URI):
		return libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid,
			"sluice on %s: libvirt waits for the guest at %.80q, which is outside of intercept.ports (%s): set those as migration_port_min and migration_port_max in qemu.conf are",
			d.cfg.Name, *prepared.URI, d.cfg.Intercept.Ports)
	}
	return nil
}
