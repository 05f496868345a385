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

// Path is how a relay moves a channel's bytes. It is chosen once, before the first byte.
type Path string

const (
	// Auto is the best path that a channel allows.
	Auto Path = ""
	// Splice: no TLS on this hop; the bytes never enter user space.
	Splice Path = "splice"
	// Copy: no TLS, and a socket that can't be spliced: read and write.
	Copy Path = "copy"
	// KTLS: TLS 1.3 records made and opened by the kernel, in one direction or
	// both; the bytes are spliced. What the kernel doesn't do goes by Records.
	KTLS Path = "ktls"
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

// Client runs the client's side of a TLS handshake over raw, bounded by ctx. Client owns raw: it is
// closed when an error is returned, and otherwise by the Conn's Close. cfg is not changed.
func Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (Conn, error) {
	return TLS{}.Client(ctx, raw, cfg)
}

// Server is Client's counterpart.
func Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (Conn, error) {
	return TLS{}.Server(ctx, raw, cfg)
}

// TLS says which path a connection with TLS shall take. The zero value leaves it to what there is.
type TLS struct {
	// Path is Auto, KTLS, Records or CryptoTLS. With CryptoTLS the connection stays there; with
	// Records it is an error when the handshake's outcome isn't for that path, and with KTLS when
	// the kernel is not for the outcome. Auto takes the first of these that is possible.
	Path   Path
	Kernel Kernel
}

// Client is the function of that name for what o says.
func (o TLS) Client(ctx context.Context, raw net.Conn, cfg *tls.Config) (Conn, error) {
	return o.handshake(ctx, raw, cfg, record.IsClient)
}

// Server is Client's counterpart.
func (o TLS) Server(ctx context.Context, raw net.Conn, cfg *tls.Config) (Conn, error) {
	return o.handshake(ctx, raw, cfg, record.IsServer)
}

func (o TLS) handshake(ctx context.Context, raw net.Conn, cfg *tls.Config, role record.Role) (Conn, error) {
	if o.Path != Auto && o.Path != KTLS && o.Path != Records && o.Path != CryptoTLS {
		raw.Close()
		return nil, fmt.Errorf("relay: %q is no path for TLS", o.Path)
	}
	h, err := record.Perform(ctx, raw, cfg, role)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if o.Path != CryptoTLS {
		plan, err := o.plan(h.Transport.Conn, h.TLS.ConnectionState().CipherSuite)
		if err != nil {
			raw.Close()
			return nil, fmt.Errorf("relay: %w", err)
		}
		c, err := h.Take()
		if err == nil {
			return &recordConn{Conn: c, plan: plan}, nil
		}
		if o.Path != Auto || !errors.Is(err, record.ErrUnsupported) {
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

// NetConn is the connection itself, as tls.Conn has it.
func (c *plainConn) NetConn() net.Conn { return c.Conn }

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

// Reset closes a connection so that its other end can't take it for an orderly
// end, where the kernel has a way to say so: TCP does, and a unix socket has not. The
// kernel keeps no unsent bytes for a reader that is frozen.
func Reset(c net.Conn) {
	if s, ok := c.(Conn); ok {
		c = carrier(s)
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}
