package gateway

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/stream"
)

// A client may speak with the libvirt of both hosts through their sluices, from
// a third host or without a sluice of its own:
//
//	client ── Prepare, Finish ── guard, at the destination
//	   └───── Begin, Perform, Confirm ── guard, at the source
//
// The two sluices know nothing of each other then. The destination's guard puts
// a URI into the reply to Prepare, which the client takes to Perform, and the
// source's guard opens the session that it names. Who has the name has been told
// it by the client, who may do both.
const rendezvousScheme = "sluice"

// rendezvousHint is the URI's host, for those whose source is not reached through
// sluice: libvirt there takes any URI for one of TCP, does not find the host,
// and says so.
const rendezvousHint = "reach-the-source-through-sluice-too-or-add---tls"

// offerRendezvous prepares for a session that is yet to come.
func (g *destinationFilter) offerRendezvous(a *preparedGuest, params libvirtrpc.Params, t transfer.Transfer) (out libvirtrpc.Params, uri string, err error) {
	id := stream.NewID()
	dir, err := g.gateway.Dir.MakeSession(id, g.gateway.QEMUUID)
	if err != nil {
		return nil, "", err
	}
	p := &arrival.Pull{UUID: a.guest.uuid, Memory: rundir.MemorySocket, Dir: dir, Postcopy: t.Postcopy()}
	if t.Disks() {
		p.Disk = rundir.DiskSocket
	}
	g.gateway.arrivals.Pulls.Add(id, p)
	a.leave = func(arrival.Verdict) {
		g.gateway.arrivals.Pulls.Remove(id)
		dir.Remove(g.log)
	}
	u := url.URL{Scheme: rendezvousScheme, Host: rendezvousHint, Path: "/" + g.gateway.Config.Name + "/" + id}
	return ownParams(params, dir, t), u.String(), nil
}

// pointToRendezvous puts the URI of a meeting into the reply to a Prepare.
func pointToRendezvous(r *libvirtrpc.Reply, uri string) *libvirtrpc.Error {
	prepared, err := libvirtrpc.DecodePrepared(r.Body)
	if err != nil {
		return libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
	}
	prepared.URI = &uri
	r.Body = prepared.Encode()
	return nil
}

// rendezvous finds the peer and the session that a URI of a meeting names, if it is
// one.
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
	for _, p := range gw.Peers.All {
		if p.Name == host || slices.Contains(p.Conf.Names, host) {
			return p, id, nil
		}
	}
	return nil, "", fmt.Errorf("the guest goes to %.80q, which is no peer in the configuration of %s: add it there under [peers.NAME]", host, gw.Config.Name)
}
