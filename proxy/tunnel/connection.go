package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/virt-sluice/sluice/internal/nbd"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// carry joins in, which it takes over, to the target until both directions have
// ended. handshaken is called once both sides stand, or never will.
func (s *settings) carry(ctx context.Context, in net.Conn, live *connection, handshaken func()) Report {
	defer handshaken()
	r := Report{Number: live.number, From: live.from, Began: live.began}
	local, remote, err := s.join(ctx, in, live, &r)
	handshaken()
	if err == nil {
		used := tlsconf.UsedBy(remote.ConnectionState())
		r.Version, r.Suite = used.Version, used.Suite
		live.joined(&r, remote.Path())
		r.Result = s.relay(ctx, local, remote, live)
		r.Err = s.explain(r.Err, &r)
	} else {
		r.Err = err
	}
	live.endChildren(&r)
	return r
}

// relay runs until both directions have ended, or too long nothing has moved.
func (s *settings) relay(ctx context.Context, local net.Conn, remote relay.Conn, live *connection) relay.Result {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.opts.Limits.Idle > 0 {
		watched := make(chan struct{})
		defer func() { <-watched }()
		defer cancel(nil)
		go func() {
			defer close(watched)
			watch(ctx, &live.counters, s.opts.Limits.Idle, cancel)
		}()
	}
	res := relay.Run(ctx, local, remote, relay.Options{
		Limits: s.limits, Counters: &live.counters, Workers: s.opts.Workers, IgnoreUnexpectedEOF: s.opts.LaxEnd,
		DeadLink: deadLink,
	})
	res.Sent, res.Received = s.order(res.Sent, res.Received)
	return res
}

// order turns what the relay calls sent and received into what went from the
// client to the target and back: a client alone with TLS is the relay's peer.
func (s *settings) order(sent, received int64) (int64, int64) {
	if s.clientIsPeer() {
		return received, sent
	}
	return sent, received
}

func (s *settings) clientIsPeer() bool { return s.effect.Listen && !s.effect.To }

// join makes both sides of a connection: the remote one is the target, or else
// the client where that alone has TLS. With an error all is closed.
func (s *settings) join(ctx context.Context, in net.Conn, live *connection, r *Report) (net.Conn, relay.Conn, error) {
	patience := s.opts.Limits.Handshake
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	live.adopt(in)
	var flags uint32
	if s.opts.StartTLS == spec.NBD {
		var err error
		if flags, err = nbd.GreetClient(ctx, in, s.effect.Listen); err != nil {
			relay.Reset(in) // its other end must not take it for one that was served
			return nil, nil, fmt.Errorf("NBD with %s: %w", r.From, err)
		}
	}
	var client relay.Conn
	if s.effect.Listen {
		var err error
		if client, err = s.admit(ctx, in, r); err != nil {
			return nil, nil, err
		}
		live.named(r.From)
	}
	out, err := s.dial(ctx, live)
	if err == nil && s.opts.StartTLS == spec.NBD {
		if err = nbd.GreetServer(ctx, out, flags, s.effect.To); err != nil {
			err = fmt.Errorf("NBD with %s: %w", s.opts.To, err)
			out.Close()
		}
	}
	var server relay.Conn
	if err == nil {
		if server = relay.Plain(out); s.effect.To {
			server, err = s.secure(ctx, out)
		}
	}
	if err != nil {
		relay.Reset(in) // below the TLS, so that no close_notify says that all is well
		if client != nil {
			client.Close()
		}
		return nil, nil, err
	}
	switch {
	case s.clientIsPeer():
		return out, client, nil
	case client != nil:
		return client, server, nil
	}
	return in, server, nil
}

// dial connects to the target.
func (s *settings) dial(ctx context.Context, live *connection) (net.Conn, error) {
	switch s.opts.To.Kind {
	case spec.FD:
		select {
		case c := <-s.target:
			live.last = true
			s.listener.Close()
			return c, nil
		default:
			return nil, fmt.Errorf("%s already carries another connection", s.opts.To)
		}
	case spec.Exec:
		c, err := start(s.opts.To)
		if err != nil {
			return nil, err
		}
		live.adopt(c)
		return c, nil
	}
	d := net.Dialer{KeepAliveConfig: keepAlive}
	if s.opts.To.Host() == spec.Localhost {
		d.Control = onLoopback
	}
	c, err := d.DialContext(ctx, s.opts.To.Network(), s.opts.To.At)
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
	return nil, fmt.Errorf("connect to %s: %w", s.opts.To, err)
}

// from is the address of a client; a unix socket's client mostly has none.
func (s *settings) from(c net.Conn) string {
	for _, a := range []net.Addr{c.RemoteAddr(), c.LocalAddr()} {
		if a != nil && a.String() != "" && a.String() != "@" {
			return a.String()
		}
	}
	return s.opts.Listen.String()
}

// explain says a relay's error in the tunnel's words, and of TLS what tlsconf
// knows: a server's refusal of our certificate comes after the handshake.
func (s *settings) explain(err error, r *Report) error {
	var failed *relay.Error
	if !errors.As(err, &failed) || failed.Side == relay.Here {
		return err
	}
	side := "client"
	if (failed.Side == relay.Remote) != s.clientIsPeer() {
		side = "target"
	}
	err = failed.Err
	var op *net.OpError
	if r.Version != "" && failed.Side == relay.Remote && errors.As(err, &op) && op.Op == "remote error" {
		err = s.opts.policy().Explain(err, s.peer(r))
	}
	return fmt.Errorf("%s the %s: %w", ops[failed.Op], side, err)
}

// peer is what the relay's peer is called in messages.
func (s *settings) peer(r *Report) string {
	if s.clientIsPeer() {
		return r.From
	}
	return s.opts.To.At
}

var ops = map[string]string{"read": "read from", "write": "write to"}
