package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/transfer"
)

// Many programs give a migration URIs of their own that lead where the guest goes anyway (tcp:HOST).
// The data is then taken there by a session in their place. Whether a URI does lead there is compared
// by names and addresses, for a name service could be anybody's: first with those that this host
// knows for the peer's, then, at the peer, with the peer's own.
//
// libvirt at the source has the URI of memory from the destination's reply, and that of disks from
// its caller alone. So the latter is replaced only where the call that has it (Perform) passes a
// sluice as well. That one says so by a mark in the cookie of Begin's reply, which the client takes
// to the destination. It is no credential: who forges it speaks to the source's libvirt himself, which
// would send the guest anywhere for him, and at the destination gets what he had without any URI. An
// older sluice leaves it in the cookie, and libvirt ignores it.

// paramAim is the parameter by which one sluice asks another whether hosts of URIs, which a session
// is to replace, are the other's own, separated by blanks. libvirt never sees it.
const paramAim = "sluice.aim"

// replacesURIs says whether sessions take the place of users' own URIs.
func (gw *Gateway) replacesURIs() bool { return gw.Config.MigrateURI == config.URIReplace }

// told says in t whether the source's sluice has said that a session can replace URIs, and takes
// its mark out of the call.
func told(call *libvirtrpc.Prepare, t *transfer.Transfer) {
	if t.Aim == (transfer.Aim{}) {
		return
	}
	if cookie, marked, err := libvirtrpc.Unmarked(call.Cookie); err == nil { // else libvirt has words for it
		call.Cookie, t.Aim.Told = cookie, marked
	}
}

// replace has a session take the data of a migration to p in place of the URIs that the client has
// given, as far as this host can tell; p is asked for the rest.
func (gw *Gateway) replace(p *peer.Peer, call *libvirtrpc.Prepare, t *transfer.Transfer) (replaced bool) {
	hosts := t.Aim.Hosts()
	if len(hosts) == 0 || !gw.replacesURIs() {
		return false
	}
	call.Params = call.Params.Without(libvirtrpc.ParamURI, libvirtrpc.ParamDisksURI)
	ask := slices.DeleteFunc(hosts, func(host string) bool { return gw.Peers.NameOf(host) == p.Name })
	if len(ask) > 0 {
		call.Params = call.Params.With(paramAim, strings.Join(ask, " "))
	}
	t.Steer()
	return true
}

// replaces says whether a session is to take the place of the URIs of a migration that comes here.
func (g *destinationFilter) replaces(t transfer.Transfer) bool {
	hosts := t.Aim.Hosts()
	return len(hosts) > 0 && g.gateway.replacesURIs() && !slices.ContainsFunc(hosts, g.isOther)
}

func (g *destinationFilter) isOther(host string) bool { return !g.gateway.Peers.IsSelf(host) }

// aimedHere judges the hosts of URIs that a session replaces, of which the source's sluice did not
// know whether they are this one.
func (g *destinationFilter) aimedHere(params libvirtrpc.Params) error {
	hosts, _, err := params.Text(paramAim)
	if err != nil {
		return err
	}
	for host := range strings.FieldsSeq(hosts) {
		if g.isOther(host) {
			return fmt.Errorf("the URI of the migration that %s asked for leads to %.80q, which is no name and no address that %s knows for its own: leave out --migrateuri and --disks-uri, or add it to aliases in this host's table at the source", g.who, host, g.gateway.Config.Name)
		}
	}
	return nil
}

// markBegun tells the destination's sluice that Perform passes here.
func markBegun(r *libvirtrpc.Reply) {
	if r.Err != nil {
		return
	}
	if begun, err := libvirtrpc.DecodeBegun(r.Body); err == nil { // else the client has words for that
		begun.Cookie = libvirtrpc.Mark(begun.Cookie)
		r.Body = begun.Encode()
	}
}

// replaceBySocket is replace for a peer-to-peer Perform that leads to a socket here, of the peer of
// that name. The URI of memory stays: libvirt hands it on to that socket, where replace judges it.
func (gw *Gateway) replaceBySocket(peer string, call *libvirtrpc.Perform, t transfer.Transfer) (replaced bool) {
	known := t.Aim.Disks == "" || t.Aim.Disks == t.Aim.Memory || gw.Peers.NameOf(t.Aim.Disks) == peer
	if t.Aim == (transfer.Aim{}) || !known || !gw.replacesURIs() {
		return false
	}
	call.Params = call.Params.Without(libvirtrpc.ParamDisksURI)
	return true
}

// redirected says whether the kernel leads to sluice all data that would go by itself to p.
func (gw *Gateway) redirected(p *peer.Peer, t transfer.Transfer) bool {
	if t.Aim.Memory == "" { // it goes to whatever name libvirt at the destination gives
		return false
	}
	table := gw.interception()
	if table == nil {
		return false
	}
	for _, host := range []string{t.Aim.Memory, t.Aim.Disks} {
		if ip, err := netip.ParseAddr(host); host != "" && (err != nil || table.Peer(ip.Unmap()) != p.Name) {
			return false // a name could be resolved to any host
		}
	}
	return true
}
