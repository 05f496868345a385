package gateway

import (
	"net/netip"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// remoteCaller is the end on this host of a connection to a peer's port: libvirtd's, or that of a
// client that runs libvirt's steps itself.
type remoteCaller struct {
	here, there netip.AddrPort
	inode       string
	pid         int
	started     uint64 // 0: not known
}

// newRemoteCaller finds the connection that a peer sees as client to server.
func (gw *Gateway) newRemoteCaller(client, server string) (*remoteCaller, error) {
	here, err := netip.ParseAddrPort(client)
	if err != nil {
		return nil, err
	}
	there, err := netip.ParseAddrPort(server)
	if err != nil {
		return nil, err
	}
	_, inode, err := sockets.Owner(here, there)
	if err != nil {
		return nil, err
	}
	c := &remoteCaller{here: here, there: there, inode: inode}
	if c.pid, err = gw.Observer.Process(inode); err == nil {
		c.started, _ = virt.ProcessStarted(c.pid)
	}
	return c, nil
}

// fenced is the caller as departures look at it; nil if it was not found.
func (c *remoteCaller) fenced() caller {
	if c == nil {
		return nil
	}
	return c
}

// hungUp says whether it has closed the connection.
func (c *remoteCaller) hungUp() bool {
	_, inode, err := sockets.Owner(c.here, c.there)
	return err != nil || inode != c.inode
}

// taken is asked once the other host's sluice has said that it has read the answer.
func (c *remoteCaller) taken() bool { return !c.hungUp() }

func (c *remoteCaller) ended() bool { return hasEnded(c.pid, c.started) }
