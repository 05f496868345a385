package lab

import (
	"context"
	"fmt"
	"net"
)

// Dial connects from within the host, as [net.Dialer.DialContext] would: to an address, or to a
// host by its name, or to one of the host's unix sockets.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conns, err := h.DialMany(ctx, network, address, nil)
	if err != nil {
		return nil, err
	}
	return conns[0], nil
}

// DialMany is Dial from each of these addresses of the host's; nil is one connection from whichever.
// With an error, those that were made until then are returned.
func (h *Host) DialMany(ctx context.Context, network, address string, from []net.Addr) (conns []net.Conn, err error) {
	if from == nil {
		from = []net.Addr{nil}
	}
	err = h.apart("dial "+address, func() error {
		for _, local := range from {
			d := net.Dialer{LocalAddr: local}
			conn, err := d.DialContext(ctx, network, literal(address))
			if err != nil {
				return err
			}
			conns = append(conns, conn)
		}
		return nil
	})
	return conns, err
}

// Listen listens within the host, as [net.ListenConfig.Listen] would.
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var l net.Listener
	err := h.apart("listen on "+address, func() (err error) {
		var c net.ListenConfig
		l, err = c.Listen(ctx, network, literal(address))
		return err
	})
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // Close would unlink that path on the machine
	}
	return l, err
}

// ListenPacket listens within the host, as [net.ListenConfig.ListenPacket] would.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var l net.PacketConn
	err := h.apart("listen on "+address, func() (err error) {
		var c net.ListenConfig
		l, err = c.ListenPacket(ctx, network, literal(address))
		return err
	})
	return l, err
}

// apart runs f on a thread of its own in the host, because dialing can take long and the host's
// thread has commands to start. Sockets stay in the network in which they were made, wherever they
// are used later.
func (h *Host) apart(what string, f func() error) error {
	t, err := enter(h.pidfd)
	if err == nil {
		err = t.do(f)
		t.close()
	}
	if err != nil {
		return fmt.Errorf("%s on %s: %w", what, h.Name, err)
	}
	return nil
}

// literal puts a host's address for its name. The resolver could not: it works on goroutines of its
// own, which are not in the host.
func literal(address string) string {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	switch name {
	case HostA:
		name = addrA
	case HostB:
		name = addrB
	case HostC:
		name = addrC
	}
	return net.JoinHostPort(name, port)
}
