package gateway

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream"
)

// A client may speak with the libvirt of both hosts through their sluices, from
// a third host or without a sluice of its own:
//
//	client ── Prepare, Finish ── destination filter of the destination
//	   └───── Begin, Perform, Confirm ── destination filter of the source
//
// The two sluices know nothing of each other then. The destination's puts a URI into the reply to
// Prepare, which the client takes to Perform, and the source's opens the session that it names. Who
// has the name has been told it by the client, who may do both.
const rendezvousScheme = "sluice"

// rendezvousHint is the URI's host, for those whose source is not reached through sluice: libvirt
// there takes any URI for one of TCP, does not find the host, and says so.
const rendezvousHint = "reach-the-source-through-sluice-too-or-add---tls"

// offerRendezvous prepares for a session that is yet to come. point puts its URI into the reply.
func (g *destinationFilter) offerRendezvous(a *preparedGuest, call *libvirtrpc.Prepare, id string) (point func(*libvirtrpc.Reply) error, err error) {
	forget, err := g.awaitSession(a, call, id, "")
	if err != nil {
		return nil, err
	}
	a.end = func(arrival.Verdict) { forget() }
	u := url.URL{Scheme: rendezvousScheme, Host: rendezvousHint, Path: "/" + g.gateway.Config.Name + "/" + id}
	return func(r *libvirtrpc.Reply) error {
		prepared, err := libvirtrpc.DecodePrepared(r.Body)
		if err != nil {
			return err
		}
		uri := u.String()
		prepared.URI = &uri
		r.Body = prepared.Encode()
		return nil
	}, nil
}

// awaitSession has libvirt here take a guest in where a session comes out that a peer's sluice
// (empty: any) has yet to open.
func (g *destinationFilter) awaitSession(a *preparedGuest, call *libvirtrpc.Prepare, id, peer string) (forget func(), err error) {
	dir, err := g.gateway.Dir.MakeSession(id, g.gateway.QEMUUID)
	if err != nil {
		return nil, err
	}
	p := &arrival.Pull{Peer: peer, UUID: a.guest.uuid, Memory: stream.ChannelMemory, Dir: dir, Postcopy: a.transfer.Postcopy(), URIs: a.transfer.URIs, Life: a.life, Cut: g.cut}
	if a.transfer.Disks() {
		p.Disk = stream.ChannelDisk
	}
	a.pull = p
	g.gateway.arrivals.Pulls.Add(id, p)
	call.Params = ownParams(call.Params, dir, a.transfer)
	return func() {
		g.gateway.arrivals.Pulls.Remove(id)
		dir.Remove(g.log)
	}, nil
}

// rendezvous finds the peer and the session that a URI names, if it is one of a rendezvous.
func (gw *Gateway) rendezvous(params libvirtrpc.Params) (p *peer.Peer, id string, err error) {
	text, _, err := params.Text(libvirtrpc.ParamURI)
	if err != nil {
		return nil, "", err
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != rendezvousScheme {
		return nil, "", nil
	}
	host, id, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if p := gw.Now().Peers.Called(host); p != nil {
		return p, id, nil
	}
	return nil, "", fmt.Errorf("the guest goes to a host whose sluice calls it %.80q (name in its configuration), which is no peer's name on %s: add it there to aliases in that peer's table, or as a table [peers.NAME] of its own if the host has none", host, gw.Config.Name)
}
