package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/virt-sluice/sluice/stream/relay"
)

// carry joins in, which it takes over, to the target until both directions have
// ended. handshaken is called once both sides stand, or never will.
func (t *Tunnel) carry(ctx context.Context, in net.Conn, handshaken func()) Report {
	defer handshaken()
	r := Report{From: from(in)}
	local, remote, err := t.join(ctx, in, &r)
	if err != nil {
		r.Err = err
		return r
	}
	handshaken()
	if state, ok := remote.ConnectionState(); ok {
		r.Version = strings.ReplaceAll(tls.VersionName(state.Version), " ", "")
		r.Suite = tls.CipherSuiteName(state.CipherSuite)
	}
	r.Result = relay.Run(ctx, local, remote, relay.Options{Workers: t.opts.Workers})
	r.Err = t.explain(r.Err, &r)
	if t.opts.Listen.Kind == TLS {
		// What the relay calls sent went to the client; a report goes by the tunnel.
		r.Sent, r.Received = r.Received, r.Sent
	}
	return r
}

// join makes both sides of a connection: that with TLS, or else the outgoing
// one, is the remote one. With an error all is closed.
func (t *Tunnel) join(ctx context.Context, in net.Conn, r *Report) (net.Conn, relay.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.opts.Handshake, fmt.Errorf("no answer within %v", t.opts.Handshake))
	defer cancel()
	if t.opts.Listen.Kind == TLS {
		client, err := t.admit(ctx, in, r)
		if err != nil {
			return nil, nil, err
		}
		out, err := t.dial(ctx)
		if err != nil {
			refuse(in) // below the TLS, so that no close_notify says that all is well
			client.Close()
			return nil, nil, err
		}
		return out, client, nil
	}
	out, err := t.dial(ctx)
	if err != nil {
		refuse(in)
		return nil, nil, err
	}
	if t.opts.To.Kind != TLS {
		return in, relay.Plain(out), nil
	}
	server, err := t.secure(ctx, out)
	if err != nil {
		refuse(in)
		return nil, nil, err
	}
	return in, server, nil
}

// dial connects to the target.
func (t *Tunnel) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	c, err := d.DialContext(ctx, t.opts.To.network(), t.opts.To.At)
	if err == nil {
		return c, nil
	}
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &op):
		err = op.Err // which address it was is said here
	}
	return nil, fmt.Errorf("connect to %s: %w", t.opts.To, err)
}

// refuse ends a connection that leads nowhere, with a reset where there is one:
// its other end must not take it for one that was served.
func refuse(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// from is the address of a client; a unix socket's client mostly has none.
func from(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		return a.String()
	}
	return c.LocalAddr().String()
}

// explain says a relay's error in the tunnel's words, and of TLS what tlsconf
// knows: a server's refusal of our certificate comes after the handshake.
func (t *Tunnel) explain(err error, r *Report) error {
	var failed *relay.Error
	if !errors.As(err, &failed) || failed.Side == relay.Here {
		return err
	}
	side := "client"
	if (failed.Side == relay.Remote) != (t.opts.Listen.Kind == TLS) {
		side = "target"
	}
	err = failed.Err
	var op *net.OpError
	if r.Version != "" && failed.Side == relay.Remote && errors.As(err, &op) && op.Op == "remote error" {
		err = t.opts.Policy.Explain(err, t.peer(r))
	}
	return fmt.Errorf("%s the %s: %w", ops[failed.Op], side, err)
}

// peer is what the side with TLS is called in messages.
func (t *Tunnel) peer(r *Report) string {
	if t.opts.Listen.Kind == TLS {
		return r.From
	}
	return t.opts.To.At
}

var ops = map[string]string{"read": "read from", "write": "write to"}
