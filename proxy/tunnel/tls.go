package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// admit authenticates a client that has connected. It must be let in before its
// handshake is over: nothing in the stream could tell it of a refusal, an alert
// does. raw is closed with an error.
func (t *Tunnel) admit(ctx context.Context, raw net.Conn, r *Report) (relay.Conn, error) {
	policy := t.opts.policy()
	cfg := t.opts.Credentials.Current().Server(tlsconf.Options{Policy: policy})
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return err
		}
		id, err := tlsconf.IdentityOf(state.PeerCertificates[0])
		if err != nil {
			return fmt.Errorf("read the names in the client's certificate: %w", err)
		}
		if _, ok := t.opts.Allow.Match(id); !ok {
			return &deniedError{id: id, allowed: t.opts.Allow}
		}
		r.From = fmt.Sprintf("%s (%s)", raw.RemoteAddr(), id)
		return nil
	}
	gated, cfg := tlsconf.Gate(raw, cfg)
	c, err := relay.TLS{Path: t.opts.Path, Kernel: t.opts.Kernel}.Server(ctx, gated, cfg)
	if err = finish(policy, raw, c, err); err != nil {
		return nil, t.refusal(err, raw.RemoteAddr().String())
	}
	return c, nil
}

// secure runs TLS with the target. raw is closed with an error.
func (t *Tunnel) secure(ctx context.Context, raw net.Conn) (relay.Conn, error) {
	policy := t.opts.policy()
	cfg := t.opts.Credentials.Current().Client(t.opts.Names, tlsconf.Options{Policy: policy})
	gated, cfg := tlsconf.Gate(raw, cfg)
	c, err := relay.TLS{Path: t.opts.Path, Kernel: t.opts.Kernel}.Client(ctx, gated, cfg)
	if err = finish(policy, raw, c, err); err != nil {
		return nil, t.refusal(err, t.opts.To.At)
	}
	return c, nil
}

// finish looks at what shows only after a handshake, whose error it is given.
// A connection that is outside the policy ends without a close_notify, which
// would say that all is well.
func finish(policy *tlsconf.Policy, raw net.Conn, c relay.Conn, err error) error {
	if err != nil {
		return err
	}
	state, _ := c.ConnectionState()
	if err = policy.Finish(state); err != nil {
		raw.Close()
	}
	return err
}
