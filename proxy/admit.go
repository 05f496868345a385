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
func (d *Peers) admit(ctx context.Context, raw *net.TCPConn, refuse func(relay.Conn, error)) (*entrant, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.Config.Limits.HandshakeTimeout, noHandshake(d.Config.Limits.HandshakeTimeout))
	defer cancel()
	first, err := d.waiting.firstByte(ctx, raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	if first != firstOfTLS && !d.Config.Secure() {
		return &entrant{conn: relay.Plain(raw)}, nil
	}
	select {
	case d.handshakes <- struct{}{}:
	case <-ctx.Done():
		raw.Close()
		return nil, context.Cause(ctx)
	}
	e, refused, err := d.handshake(ctx, raw)
	<-d.handshakes
	if refused != nil {
		select {
		case d.refusing <- struct{}{}:
			refuse(refused, err)
			<-d.refusing
		default:
			refused.Close()
		}
	}
	return e, err
}

// handshake finds out who has come. An error with a connection is one that its
// peer may be told.
func (d *Peers) handshake(ctx context.Context, raw net.Conn) (e *entrant, refused relay.Conn, err error) {
	e = new(entrant)
	e.conn, _, err = tlsconf.Accept(ctx, d.tls(), raw, tlsconf.Server{
		Credentials: d.Certs.current(), Policy: d.Certs.host(), Name: raw.RemoteAddr().String(), Protocols: []string{alpn}, InWords: true, Time: d.Clock,
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
