package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// maxHandshakes is how many connections may be in their handshake at once;
// those beyond it wait in the kernel's queue.
const maxHandshakes = 64

// servePeers accepts peers' connections until the listener is closed, and
// returns when they have ended.
func (d *Daemon) servePeers(ctx context.Context) {
	handshakes := make(chan struct{}, maxHandshakes)
	for {
		handshakes <- struct{}{}
		raw, err := d.listener.Accept()
		if err != nil {
			<-handshakes
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely; connections wait meanwhile.
			d.log.Error().Err(err).Msg("accept a peer's connection")
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			continue
		}
		d.work.Go(func() {
			e, err := d.admit(ctx, raw)
			<-handshakes
			if err != nil {
				d.log.Warn().Stringer("address", raw.RemoteAddr()).Err(err).Msg("connection refused")
				return
			}
			if e.stranger != nil {
				d.serveStranger(ctx, e.conn, e.stranger)
				return
			}
			if err := d.acceptor.Serve(ctx, e.conn, e.peer); err != nil {
				d.log.Warn().Str("peer", e.peer).Stringer("address", raw.RemoteAddr()).Err(err).Msg("channel refused")
			}
		})
	}
}

// entrant is a connection that has come in by the port.
type entrant struct {
	conn     relay.Conn
	peer     string    // the configured peer at its other end; none in clear, where that may be
	stranger *stranger // not nil: it did not ask for sluice's protocol (ALPN), and speaks libvirt's
}

// admit authenticates one connection. Nothing of what it says has been read
// yet. With an error it is closed.
func (d *Daemon) admit(ctx context.Context, raw net.Conn) (*entrant, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.cfg.Limits.HandshakeTimeout, fmt.Errorf(
		"no TLS handshake within %v (limits.handshake_timeout)", d.cfg.Limits.HandshakeTimeout))
	defer cancel()
	if !d.requireSecure() {
		isTLS, err := beginsTLS(ctx, raw)
		if err != nil {
			raw.Close()
			return nil, err
		}
		if !isTLS {
			return &entrant{conn: relay.Plain(raw)}, nil
		}
	}
	creds, policy := d.certs.current(), d.certs.host()
	cfg := creds.Server(tlsconf.Options{NextProtos: []string{alpn}, Policy: policy})
	// A handshake can only say "bad certificate". crypto/tls looks at the chain
	// and the dates in it; the rest is looked at below, and refused in words.
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = nil
	gated, cfg := tlsconf.Gate(raw, cfg)
	conn, err := relay.Server(ctx, gated, cfg)
	if err != nil {
		return nil, policy.Explain(err, raw.RemoteAddr().String())
	}
	state, _ := conn.ConnectionState()
	if state.NegotiatedProtocol != alpn {
		return &entrant{conn: conn, stranger: d.recognize(state, verify)}, nil
	}
	p, err := d.authorize(state, creds, verify)
	if err != nil {
		d.acceptor.Refuse(conn, err)
		return nil, err
	}
	return &entrant{conn: conn, peer: p.name}, nil
}

// beginsTLS looks at the first byte without taking it: 22 begins a TLS
// handshake (RFC 8446 section 5.1), while the length of an open frame begins
// with 0.
func beginsTLS(ctx context.Context, c net.Conn) (bool, error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	var b [1]byte
	var n int
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		n, _, peekErr = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
		return peekErr != unix.EAGAIN
	})
	if !stop() {
		return false, context.Cause(ctx)
	}
	if err = errors.Join(err, peekErr); err != nil {
		return false, err
	}
	return n == 1 && b[0] == 22, nil
}

// tuneSocket prepares a socket to a peer, before it connects or listens: bytes
// that the peer does not acknowledge within the idle limit break the channel.
func (d *Daemon) tuneSocket(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.cfg.Limits.IdleTimeout.Milliseconds()))
	})
	return errors.Join(ctlErr, err)
}
