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

// dialQEMU connects to where QEMU of a host without a sluice waits. An error
// leaves local open.
func (b *bare) dialQEMU(ctx context.Context, kind string, local net.Conn) (relay.Conn, error) {
	var port int
	if ports := b.ports.Load(); ports != nil {
		port = (*ports)[kind]
	}
	if port == 0 {
		return nil, fmt.Errorf("QEMU on %s waits for no %s", b.peer.Name, kind)
	}
	address := net.JoinHostPort(b.host, strconv.Itoa(port))
	fail := func(err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &stream.Cause{Code: stream.CodeLink, Host: b.d.Config.Name, Text: fmt.Sprintf("no connection with QEMU on %s (%s): %v", b.peer.Name, address, err)}
	}
	dialer := net.Dialer{KeepAliveConfig: peer.KeepAlive}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fail(fmt.Errorf("%w: is the port open between the hosts?", err))
	}
	if kind == stream.ChannelDisk && b.native {
		flags, err := tunnel.NBDClient(ctx, local, false)
		if err == nil {
			err = tunnel.NBDServer(ctx, raw, flags, true)
		}
		if err != nil {
			raw.Close()
			return nil, fail(fmt.Errorf("NBD: %w", err))
		}
	}
	if !b.native {
		return relay.Plain(raw), nil
	}
	c, err := b.d.Peers.SecureOther(ctx, b.peer, raw)
	if err != nil {
		return nil, fail(err)
	}
	return c, nil
}
