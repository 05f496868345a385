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
func (s *settings) admit(ctx context.Context, raw net.Conn, r *Report) (relay.Conn, error) {
	c, peer, err := tlsconf.Accept(ctx, s.engine(), raw, tlsconf.Server{
		Credentials: s.opts.Credentials.Current(), Policy: s.opts.policy(), Name: raw.RemoteAddr().String(),
		Authorize: func(p *tlsconf.Peer) error {
			if _, ok := s.opts.Allow.Match(p.Identity); !ok {
				return &deniedError{id: p.Identity, allowed: s.opts.Allow}
			}
			return nil
		},
	})
	if err != nil {
		return nil, s.refusal(err, raw.RemoteAddr().String())
	}
	r.From = fmt.Sprintf("%s (%s)", raw.RemoteAddr(), peer.Identity)
	return c, nil
}

// secure runs TLS with the target. raw is closed with an error.
func (s *settings) secure(ctx context.Context, raw net.Conn) (relay.Conn, error) {
	c, _, err := tlsconf.Connect(ctx, s.engine(), raw, tlsconf.Client{
		Credentials: s.opts.Credentials.Current(), Policy: s.opts.policy(), Name: s.opts.To.At, Expect: s.opts.Names,
	})
	if err != nil {
		return nil, s.refusal(err, s.opts.To.At)
	}
	return c, nil
}

func (s *settings) engine() relay.TLS { return relay.TLS{Path: s.opts.Path, Kernel: s.opts.Kernel} }
