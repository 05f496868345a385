package tunnel

import (
	"context"
	"fmt"
	"net"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// admit authenticates a client that has connected. It must be let in before its handshake is over:
// nothing in the stream could tell it of a refusal, an alert does. raw is closed with an error.
func (t *Tunnel) admit(ctx context.Context, raw net.Conn, r *Report) (relay.Conn, error) {
	c, peer, err := tlsconf.Accept(ctx, t.engine(), raw, tlsconf.Server{
		Credentials: t.opts.Credentials.Current(), Policy: t.opts.policy(), Name: raw.RemoteAddr().String(),
		Authorize: func(p *tlsconf.Peer) error {
			if _, ok := t.opts.Allow.Match(p.Identity); !ok {
				return &deniedError{id: p.Identity, allowed: t.opts.Allow}
			}
			return nil
		},
	})
	if err != nil {
		return nil, t.refusal(err, raw.RemoteAddr().String())
	}
	r.From = fmt.Sprintf("%s (%s)", raw.RemoteAddr(), peer.Identity)
	return c, nil
}

// secure runs TLS with the target. raw is closed with an error.
func (t *Tunnel) secure(ctx context.Context, raw net.Conn) (relay.Conn, error) {
	c, _, err := tlsconf.Connect(ctx, t.engine(), raw, tlsconf.Client{
		Credentials: t.opts.Credentials.Current(), Policy: t.opts.policy(), Name: t.opts.To.At, Expect: t.opts.Names,
	})
	if err != nil {
		return nil, t.refusal(err, t.opts.To.At)
	}
	return c, nil
}

func (t *Tunnel) engine() relay.TLS { return relay.TLS{Path: t.opts.Path, Kernel: t.opts.Kernel} }
