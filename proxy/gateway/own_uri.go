package gateway

import (
	"fmt"
	"net/netip"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/transfer"
)

// Many programs give a migration a URI of their own that leads where the guest goes anyway
// (tcp:HOST). The data is then taken there by a session in its place. Whether the URI does lead
// there is compared by names and addresses, for a name service could be anybody's: first with those
// that this host knows for the peer's, then, at the peer, with the peer's own.

// paramAim is the parameter by which one sluice asks another whether a URI's host, which a session
// is to replace, is the other's own. libvirt never sees it.
const paramAim = "sluice.aim"

// replace has a session take the data of a migration to p in place of the URI that the client has
// given, as far as this host can tell; p is asked for the rest.
func (gw *Gateway) replace(p *peer.Peer, call *libvirtrpc.Prepare, t *transfer.Transfer) (replaced bool) {
	if len(t.Aim.Hosts) != 1 || t.Aim.Disks || gw.Config.MigrateURI != config.URIReplace {
		return false
	}
	host := t.Aim.Hosts[0]
	call.Params = call.Params.Without(libvirtrpc.ParamURI)
	if gw.Peers.NameOf(host) != p.Name {
		call.Params = call.Params.With(paramAim, host)
	}
	t.Steer()
	return true
}

// replaces says whether a session is to take the place of the URI of a migration that comes here.
func (g *destinationFilter) replaces(t transfer.Transfer) bool {
	return len(t.Aim.Hosts) == 1 && !t.Aim.Disks && g.gateway.Config.MigrateURI == config.URIReplace &&
		g.gateway.Peers.IsSelf(t.Aim.Hosts[0])
}

// redirected says whether the kernel leads to sluice all data that would go by itself to p.
func (gw *Gateway) redirected(p *peer.Peer, t transfer.Transfer) bool {
	if len(t.Aim.Hosts) == 0 {
		return false
	}
	table := gw.interception()
	if table == nil {
		return false
	}
	for _, host := range t.Aim.Hosts {
		if ip, err := netip.ParseAddr(host); err != nil || table.Peer(ip.Unmap()) != p.Name {
			return false // a name could be resolved to any host
		}
	}
	return true
}

// aimedHere judges the host of a URI that a session replaces, of which the source's sluice did not
// know whether it is this one.
func (g *destinationFilter) aimedHere(params libvirtrpc.Params) error {
	host, is, err := params.Text(paramAim)
	if err != nil || !is || g.gateway.Peers.IsSelf(host) {
		return err
	}
	return fmt.Errorf("the URI of the migration that %s asked for leads to %.80q, which is no name and no address that %s knows for its own: leave out --migrateuri, or add it to aliases in this host's table at the source", g.who, host, g.gateway.Config.Name)
}
