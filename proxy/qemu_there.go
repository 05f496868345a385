package proxy

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/tunnel"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// qemuThere is QEMU of a host without a sluice, which waits for a guest.
type qemuThere struct {
	peers *peer.Set
	peer  *peer.Peer
	host  string // where it is reached
	tls   bool   // with its own TLS
}

// dial connects to it at a port. kind is the channel's; for disks local, QEMU's here, is asked for
// NBD's flags first. An error leaves local open.
func (q *qemuThere) dial(ctx context.Context, kind string, port int, local net.Conn) (relay.Conn, error) {
	address := net.JoinHostPort(q.host, strconv.Itoa(port))
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &stream.Cause{Code: stream.CodeLink, Host: q.peers.Config.Name, Text: fmt.Sprintf("no connection with QEMU on %s (%s): %v", q.peer.Name, address, err)}
	}
	dialer := net.Dialer{KeepAliveConfig: peer.KeepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fail(fmt.Errorf("%w: is the port open between the hosts?", err))
	}
	if kind == stream.ChannelDisk && q.tls {
		flags, err := tunnel.NBDClient(ctx, local, false)
		if err == nil {
			err = tunnel.NBDServer(ctx, raw, flags, true)
		}
		if err != nil {
			raw.Close()
			return nil, fail(fmt.Errorf("NBD: %w", err))
		}
	}
	if !q.tls {
		return relay.Plain(raw), nil
	}
	c, err := q.peers.SecureOther(ctx, q.peer, raw)
	if err != nil {
		return nil, fail(err)
	}
	return c, nil
}
