package direct

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/virt-sluice/sluice/internal/nbd"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// RemoteQEMU is QEMU of a host without a sluice, which waits for a guest.
type RemoteQEMU struct {
	Peers *peer.Set
	Peer  *peer.Peer
	Host  string // the address at which it is reached
	TLS   bool   // with its own TLS
}

// Dial connects to it at a port. kind is the channel's; for disks local, QEMU's here, is asked for
// NBD's flags first. An error leaves local open.
func (q *RemoteQEMU) Dial(ctx context.Context, kind string, port int, local net.Conn) (relay.Conn, error) {
	address := net.JoinHostPort(q.Host, strconv.Itoa(port))
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &stream.Cause{Code: stream.CodeLink, Host: q.Peers.Config.Name, Text: fmt.Sprintf("no connection with QEMU on %s (%s): %v", q.Peer.Name, address, err)}
	}
	dialer := net.Dialer{KeepAliveConfig: peer.KeepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fail(fmt.Errorf("%w: is the port open between the hosts?", err))
	}
	if kind == stream.ChannelDisk && q.TLS {
		flags, err := nbd.GreetClient(ctx, local, false)
		if err == nil {
			err = nbd.GreetServer(ctx, raw, flags, true)
		}
		if err != nil {
			raw.Close()
			return nil, fail(fmt.Errorf("NBD: %w", err))
		}
	}
	if !q.TLS {
		return relay.Plain(raw), nil
	}
	c, err := q.Peers.SecureOther(ctx, q.Peer, raw)
	if err != nil {
		return nil, fail(err)
	}
	return c, nil
}
