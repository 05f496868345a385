package gateway

import (
	"strings"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/transfer"
)

// insecure refuses a migration of who's whose data would go in clear, in words that virsh prints.
func (gw *Gateway) insecure(t transfer.Transfer, who string) *libvirtrpc.Error {
	remedy := "have both hosts' libvirt reached through sluice, so that sluice carries it,"
	if len(t.Options) > 0 {
		remedy = "leave out " + strings.Join(t.Options, " and ") + ", so that sluice carries it,"
	}
	remedy += " or add --tls or --tunnelled (or"
	if gw.interception() == nil { // else it is on, and does not cover this one
		remedy += " turn interception on with `sluice intercept up`, or"
	}
	return libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid,
		"sluice on %s: the migration that %s asked for would put %s on the network in clear, and security is required there: %s set require_secure = false on both hosts)",
		gw.Config.Name, who, t.InClear, remedy)
}
