package proxy

import (
	"context"
	"errors"
	"net"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// errSluice says that who was taken for a program of a host without a sluice is
// one.
var errSluice = errors.New("a sluice answers there: it has just been started, or somebody resets connections to it; try again, and see `sluice check`")

// secure is TLS as sluices have it, with another program of the peer's. A
// sluice is offered its own protocol, which only it takes up: it serves
// libvirt's clients on the same port, and what it is fit for is not to be had
// from it in clear.
func (d *Peers) secure(ctx context.Context, p *peer, raw net.Conn) (relay.Conn, error) {
	c, other, err := tlsconf.Connect(ctx, d.tls(), raw, tlsconf.Client{
		Credentials: d.Certs.current(), Policy: d.Certs.with(p), Name: p.name, Expect: p.rules, Protocols: []string{alpn}, AnyProto: true,
	})
	if err != nil {
		return nil, err
	}
	if other.Protocol == alpn {
		c.Close()
		p.seen.Store(true)
		return nil, errSluice
	}
	return c, nil
}
