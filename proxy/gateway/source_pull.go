package gateway

import (
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/digitalocean/go-libvirt"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// pull names a session to a Perform that would have the peer's QEMU connect to this host in clear.
func (g *sourceFilter) pull(c *libvirtrpc.Call) libvirtrpc.Outcome {
	call, err := libvirtrpc.DecodePerform(c.Body)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	t, err := transfer.Of(call.Flags, call.Params)
	if err != nil {
		return refused(libvirtrpc.ErrRPC, err).Outcome
	}
	if t.Flags&libvirt.MigratePeer2peer != 0 {
		return libvirtrpc.Outcome{}
	}
	if t.InClear == "" || call.Params.Has(libvirtrpc.ParamDisksURI) {
		return libvirtrpc.Outcome{Reply: g.acceptPerformed}
	}
	p := &arrival.Pull{Peer: g.peer.Name, UUID: virt.FormatUUID(call.Domain.UUID), Postcopy: t.Postcopy()}
	if err := aim(p, call, t); err != nil {
		return libvirtrpc.Outcome{Reply: g.acceptPerformed} // the peer has words for that
	}
	id := stream.NewID()
	g.gateway.arrivals.Pulls.Add(id, p)
	g.mu.Lock()
	g.pulled = append(g.pulled, id)
	g.mu.Unlock()
	call.Params = call.Params.With(paramSession, id)
	return libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		g.acceptPerformed(r)
		g.gateway.arrivals.Pulls.Remove(id)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.pulled = slices.DeleteFunc(g.pulled, func(o string) bool { return o == id })
	}}
}

// aim finds out where QEMU listens.
func aim(p *arrival.Pull, call *libvirtrpc.Perform, t transfer.Transfer) error {
	uri, _, err := call.Params.Text(libvirtrpc.ParamURI)
	if err != nil {
		return err
	}
	u, err := transfer.ParseTCP(uri)
	if err != nil || u.Hostname() == "" || u.Port() == "" {
		return fmt.Errorf("%q does not say where QEMU listens", uri)
	}
	p.Memory = net.JoinHostPort(u.Hostname(), u.Port())
	if !t.Disks() {
		return nil
	}
	port, err := libvirtrpc.NBDPort(call.Cookie)
	if err == nil && port == 0 {
		err = fmt.Errorf("libvirt's cookie does not say where QEMU takes disks")
	}
	p.Disk = net.JoinHostPort(u.Hostname(), strconv.Itoa(port))
	return err
}
