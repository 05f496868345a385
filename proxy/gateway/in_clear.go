package gateway

import "github.com/virt-sluice/sluice/internal/libvirtrpc"

// insecure refuses a migration whose data would go in clear, in words that virsh prints.
func (gw *Gateway) insecure(what string) *libvirtrpc.Error {
	return libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid,
		"sluice on %s: the migration would put %s on the network in clear, and security is required there: leave out --migrateuri and --disks-uri, so that sluice carries it, or add --tls or --tunnelled (or turn interception on with `sluice intercept up`, or set require_secure = false on both hosts)",
		gw.Config.Name, what)
}
