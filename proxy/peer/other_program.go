package peer

import (
	"context"
	"errors"
	"net"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// errSluice says that who was taken for a program of a host without a sluice is one.
var errSluice = errors.New("a sluice answers there: it has just been started, or somebody resets connections to it; try again, and see `sluice check`")

// SecureOther is TLS as sluices have it, with another program of the peer's. A sluice is offered
// its own protocol, which only it takes up: it serves libvirt's clients on the same port, and what
// it is fit for is not to be had from it in clear.
func (s *Set) SecureOther(ctx context.Context, p *Peer, raw net.Conn) (relay.Conn, error) {
	c, other, err := tlsconf.Connect(ctx, s.TLS(), raw, tlsconf.Client{
		Credentials: s.Certs.Current(), Policy: s.Policy(p), Name: p.Name, Expect: p.Rules, Protocols: []string{ALPN}, AnyProto: true,
	})
	if err != nil {
		return nil, err
	}
	if err := s.Sole(p, other.Identity); err != nil {
		c.Close()
		return nil, err
	}
	if other.Protocol == ALPN {
		c.Close()
		s.Saw(p)
		return nil, errSluice
	}
	return c, nil
}
