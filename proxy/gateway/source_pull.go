package gateway

import (
	"fmt"
	"net"
	"net/url"
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
	if t.InClear == "" {
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

// aim finds out where QEMU listens. For disks, the client's own URI comes before that of memory, and
// its port, if it has one, before the cookie's, as for libvirt at the source
// (qemuMigrationSrcNBDStorageCopy in libvirt's src/qemu/qemu_migration.c).
func aim(p *arrival.Pull, call *libvirtrpc.Perform, t transfer.Transfer) error {
	at := func(field string) (*url.URL, error) {
		uri, _, err := call.Params.Text(field)
		if err != nil {
			return nil, err
		}
		u, err := transfer.ParseTCP(uri)
		if err != nil || u.Hostname() == "" || field == libvirtrpc.ParamURI && u.Port() == "" {
			return nil, fmt.Errorf("%q does not say where QEMU listens", uri)
		}
		return u, nil
	}
	memory, err := at(libvirtrpc.ParamURI)
	if err != nil {
		return err
	}
	p.Memory = memory.Host
	if !t.Disks() {
		return nil
	}
	host, port := memory.Hostname(), ""
	if call.Params.Has(libvirtrpc.ParamDisksURI) {
		disks, err := at(libvirtrpc.ParamDisksURI)
		if err != nil {
			return err
		}
		host, port = disks.Hostname(), disks.Port()
	}
	if port == "" {
		n, err := libvirtrpc.NBDPort(call.Cookie)
		if err == nil && n == 0 {
			err = fmt.Errorf("libvirt's cookie does not say where QEMU takes disks")
		}
		if err != nil {
			return err
		}
		port = strconv.Itoa(n)
	}
	p.Disk = net.JoinHostPort(host, port)
	return nil
}
