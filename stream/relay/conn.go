package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/virt-sluice/sluice/stream/record"
)

// Path is how a relay moves a channel's bytes. It is chosen once, before the
// first byte.
type Path string

const (
	// Auto is the best path that a channel allows.
	Auto Path = ""
	// Splice: no TLS on this hop; the bytes never enter user space.
	Splice Path = "splice"
	// Copy: no TLS, and a socket that can't be spliced: read and write.
	Copy Path = "copy"
	// Records: our own TLS 1.3 records, sealed and opened in place.
	Records Path = "records"
	// CryptoTLS: the standard library's records, many to a system call.
	CryptoTLS Path = "crypto/tls"
)

// Conn is the peer's side of a channel after its handshake. Only [Client],
// [Server] and [Plain] make a Conn that Run moves by a fast path; any other
// implementation is copied through its Read and Write.
type Conn interface {
	net.Conn
	// CloseWrite ends the sending direction: close_notify, then shutdown(WR).
	// A plain Conn has only the shutdown.
	CloseWrite() error
	// Path is the path that Run takes for this side. A plain Conn says Splice
	// here; what happened is in the Result.
	Path() Path
	// ConnectionState is the finished handshake's. It is false for a plain Conn.
	ConnectionState() (tls.ConnectionState, bool)
}

// Client runs the client's side of a TLS handshake over raw, bounded by ctx.
// Client owns raw: it is closed when an error is returned, and otherwise by
// the Conn's Close. cfg is not changed.
func Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (Conn, error) {
	return ClientPath(ctx, raw, cfg, Auto)
}

// Server is Client's counterpart.
func Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (Conn, error) {
	return ServerPath(ctx, raw, cfg, Auto)
}

// ClientPath is Client for a wanted path. With CryptoTLS the connection stays
// there; with Records it is an error when the handshake's outcome isn't for
// that path, where Auto goes on with CryptoTLS.
func ClientPath(ctx context.Context, raw net.Conn, cfg *tls.Config, path Path) (Conn, error) {
	return handshake(ctx, raw, cfg, record.IsClient, path)
}

// ServerPath is ClientPath's counterpart.
func ServerPath(ctx context.Context, raw net.Conn, cfg *tls.Config, path Path) (Conn, error) {
	return handshake(ctx, raw, cfg, record.IsServer, path)
}

func handshake(ctx context.Context, raw net.Conn, cfg *tls.Config, role record.Role, path Path) (Conn, error) {
	if path != Auto && path != Records && path != CryptoTLS {
		raw.Close()
		return nil, fmt.Errorf("relay: %q is no path for TLS", path)
	}
	h, err := record.Perform(ctx, raw, cfg, role)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if path != CryptoTLS {
		c, err := h.Take()
		if err == nil {
			return &recordConn{Conn: c}, nil
		}
		if path == Records || !errors.Is(err, record.ErrUnsupported) {
			raw.Close()
			return nil, fmt.Errorf("relay: %w", err)
		}
	}
	return &tlsConn{Conn: h.Transport.Conn, tls: h.TLS, transport: h.Transport}, nil
}

// Plain is raw as the peer's side of a channel without TLS. The Conn owns raw.
func Plain(raw net.Conn) Conn { return &plainConn{Conn: raw} }

type plainConn struct {
	net.Conn
	running
}

func (c *plainConn) Close() error {
	if c.stop() {
		return nil
	}
	return c.Conn.Close()
}

func (c *plainConn) CloseWrite() error { return closeWrite(c.Conn) }
func (c *plainConn) Path() Path        { return Splice }

func (c *plainConn) ConnectionState() (s tls.ConnectionState, ok bool) { return s, false }

// running is the run that a Conn is in. Whoever closes the Conn then stops the
// run: an orderly close would tell the peer that the stream is complete.
type running struct{ in atomic.Pointer[run] }

func (r *running) enter(run *run) { r.in.Store(run) }

func (r *running) stop() bool {
	run := r.in.Load()
	if run != nil {
		run.fail(&Error{Here, "", net.ErrClosed})
	}
	return run != nil
}

// halfCloser is what a socket must be able to do to be relayed.
type halfCloser interface{ CloseWrite() error }

func closeWrite(c net.Conn) error {
	h, ok := c.(halfCloser)
	if !ok {
		return fmt.Errorf("%T can't be closed for writing alone", c)
	}
	return h.CloseWrite()
}

// reset ends a socket so that its other end can't take it for an orderly end,
// and so that the kernel keeps no unsent bytes for a reader that is frozen.
func reset(c net.Conn) {
	if s, ok := c.(Conn); ok {
		c = socket(s)
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}
