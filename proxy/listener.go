package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// maxHandshakes is how many connections may be in their handshake at once, and
// maxRefusals how many may be told why there is nothing for them here: that
// takes as long as the other end likes, within bounds, and anyone can ask for it.
const (
	maxHandshakes = 64
	maxRefusals   = 64
)

// firstOfTLS is the first byte of a TLS handshake (RFC 8446, section 5.1). The
// length of an open frame begins with 0.
const firstOfTLS = 22

// servePeers accepts peers' connections until the listener is closed, and
// returns when they have ended.
func (d *Daemon) servePeers(ctx context.Context) {
	handshakes := make(chan struct{}, maxHandshakes)
	for {
		raw, err := d.listener.Accept()
		if err != nil {
			if d.acceptAgain(ctx, "accept a peer's connection", err) {
				continue
			}
			return
		}
		d.Work.Go(func() {
			e, err := d.admit(ctx, raw.(*net.TCPConn), handshakes)
			if err != nil {
				d.refusals.add(err)
				d.Log.Warn().Stringer("address", raw.RemoteAddr()).Err(err).Msg("connection refused")
				return
			}
			if e.stranger != nil {
				d.serveStranger(ctx, e.conn, e.stranger)
				return
			}
			if err := d.acceptor.Serve(ctx, e.conn, e.peer); err != nil {
				d.Log.Warn().Str("peer", e.peer).Stringer("address", raw.RemoteAddr()).Err(err).Msg("channel refused")
			}
		})
	}
}

// acceptAgain says, after Accept has failed, whether to go on: not once the
// listener is closed. Else the daemon is out of descriptors, most likely; what
// comes waits in the kernel until there are some again.
func (d *Daemon) acceptAgain(ctx context.Context, doing string, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	d.Log.Error().Err(err).Msg(doing)
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// noHandshake is a handshake that took longer than this.
type noHandshake time.Duration

func (n noHandshake) Error() string {
	return fmt.Sprintf("no TLS handshake within %v (limits.handshake_timeout)", time.Duration(n))
}

// Timeout tells tlsconf.Explain, as a net.Error does.
func (noHandshake) Timeout() bool { return true }

// entrant is a connection that has come in by the port.
type entrant struct {
	conn     relay.Conn
	peer     string    // the configured peer at its other end; none in clear, where that may be
	stranger *stranger // not nil: it did not ask for sluice's protocol (ALPN), and speaks libvirt's
}

// admit authenticates one connection, in a place of handshakes once it has begun
// to speak. Nothing of what it says has been read yet. With an error it is
// closed.
func (d *Daemon) admit(ctx context.Context, raw *net.TCPConn, handshakes chan struct{}) (*entrant, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.Config.Limits.HandshakeTimeout, noHandshake(d.Config.Limits.HandshakeTimeout))
	defer cancel()
	first, err := d.waiting.firstByte(ctx, raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	if first != firstOfTLS && !d.requireSecure() {
		return &entrant{conn: relay.Plain(raw)}, nil
	}
	select {
	case handshakes <- struct{}{}:
	case <-ctx.Done():
		raw.Close()
		return nil, context.Cause(ctx)
	}
	e, refused, err := d.handshake(ctx, raw)
	<-handshakes
	if refused != nil {
		select {
		case d.refusing <- struct{}{}:
			d.acceptor.Refuse(refused, err)
			<-d.refusing
		default:
			refused.Close()
		}
	}
	return e, err
}

// handshake finds out who has come. An error with a connection is one that its
// peer may be told.
func (d *Daemon) handshake(ctx context.Context, raw net.Conn) (e *entrant, refused relay.Conn, err error) {
	e = new(entrant)
	e.conn, _, err = tlsconf.Accept(ctx, d.tls(), raw, tlsconf.Server{
		Credentials: d.certs.current(), Policy: d.certs.host(), Name: raw.RemoteAddr().String(), Protocols: []string{alpn}, InWords: true, Time: d.clock,
		Authorize: func(who *tlsconf.Peer) error {
			if who.Protocol != alpn {
				var err error
				e.stranger, err = d.recognize(who)
				return err
			}
			p, err := d.authorize(who)
			if err != nil {
				return err
			}
			p.seen.Store(true)
			e.peer = p.name
			return nil
		},
	})
	var told *tlsconf.Refusal[relay.Conn]
	switch {
	case err == nil:
		return e, nil, nil
	case !errors.As(err, &told):
		return nil, nil, err
	case told.Protocol != alpn:
		return &entrant{conn: told.Conn, stranger: &stranger{refusal: plainly(told.Err, "")}}, nil, nil
	}
	return nil, told.Conn, plainly(told.Err, "")
}
