package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/direct"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/stream"
)

// endTLS makes the place where QEMU's own TLS of the source ends: libvirt here is told of unix
// sockets and of no TLS, and the source of ports of sluice's. point puts those into the reply.
func (g *destinationFilter) endTLS(a *preparedGuest, call *libvirtrpc.Prepare, id string) (point func(*libvirtrpc.Reply) error, err error) {
	t := a.transfer
	info := stream.Info{ID: id, Work: session.WorkSteered, Guest: a.guest.name, UUID: a.guest.uuid, Peer: g.name, Address: g.address}
	uri, own, err := call.Params.Text(libvirtrpc.ParamURI)
	if err != nil {
		return nil, err
	}
	host, port, err := wanted(uri)
	if err != nil {
		return nil, err
	}
	if a.entry, err = g.gateway.Sessions.Add(info, control.Incoming); err != nil {
		return nil, err
	}
	a.entry.SecuredBy(t.Protection())
	a.entry.AskedBy(g.asked, transfer.Flags(t.Flags))
	a.entry.SetPhase(control.PhasePrepare)
	log := session.Log(g.gateway.Log, info, control.Incoming)
	e := direct.NewTLSEnd(g.gateway.Host, g.tlsPeer, log)
	if err = e.Open(info.ID, direct.TLSEndData{Guest: a.guest.id, Disks: t.Disks(), Postcopy: t.Postcopy(), Port: port}); err != nil {
		e.End(false)
		g.gateway.Sessions.End(a.entry, control.Failed, stream.CodeLocal, err.Error())
		return nil, err
	}
	a.entry.SetChannels(e.Channels.Status)
	g.cancellable(a)
	a.ownTLS = true
	a.end = func(v arrival.Verdict) {
		g.gateway.Work.Go(func() { // the answer to Finish is not to wait for it
			if v == arrival.Ran {
				a.entry.Downtime(g.gateway.arrivals.Downtime(a.guest.id))
			}
			cause := g.causeOf(v, cmp.Or(a.asked.Load(), e.End(v == arrival.Ran)))
			g.gateway.Sessions.EndMigration(a.entry, log, v == arrival.Ran, cause)
		})
	}
	call.Params = ownParams(call.Params.Without(paramTLSDestination), e.Dir, t)
	call.Flags &^= uint32(libvirt.MigrateTLS)
	return func(r *libvirtrpc.Reply) error {
		prepared, err := libvirtrpc.DecodePrepared(r.Body)
		if err != nil {
			return err
		}
		if !own || port == 0 {
			at := fmt.Sprintf("tcp:%s:%d", host, e.Ports[stream.ChannelMemory])
			prepared.URI = &at
		}
		if t.Disks() {
			if prepared.Cookie, _, err = libvirtrpc.SetNBDPort(prepared.Cookie, e.Ports[stream.ChannelDisk]); err != nil {
				return err
			}
		}
		r.Body = prepared.Encode()
		return nil
	}, nil
}

// paramTLSDestination is the name that the source expects in a certificate
// (VIR_MIGRATE_PARAM_TLS_DESTINATION).
const paramTLSDestination = "tls.destination"

// wanted is where the source wants to connect to, as a URI of its says:
// HOST, this host's own name unless it says, and a port, 0 unless it says.
func wanted(uri string) (host string, port int, err error) {
	if uri == "" {
		host, err = os.Hostname() // as libvirt does
		return host, 0, err
	}
	u, err := transfer.ParseTCP(uri)
	if err != nil || u.Hostname() == "" {
		return "", 0, fmt.Errorf("the migration's URI is %.80q, where tcp:HOST is meant", uri)
	}
	host = u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		if port, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", p); err != nil {
			return "", 0, errors.New("the migration's URI has a port that is none")
		}
	}
	return host, port, nil
}
