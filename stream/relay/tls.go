package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/virt-sluice/sluice/stream/record"
)

// tlsConn is a peer on the crypto/tls path.
//
// It holds about 70 KiB when idle: a small buffer for each of reading, writing and the transport,
// and crypto/tls's own record. Each direction that moves much borrows up to two large buffers more.
type tlsConn struct {
	net.Conn  // the socket: deadlines and addresses
	tls       *tls.Conn
	transport *record.Transport
	running
}

func (c *tlsConn) Path() Path { return CryptoTLS }

func (c *tlsConn) ConnectionState() (tls.ConnectionState, bool) {
	return c.tls.ConnectionState(), true
}

// Read returns io.EOF for the peer's close_notify only.
func (c *tlsConn) Read(p []byte) (int, error) {
	n, err := c.tls.Read(p)
	if err == nil {
		return n, nil
	}
	if c.transport.Truncated() && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = ErrTruncated
	}
	return n, err
}

func (c *tlsConn) Write(p []byte) (n int, err error) {
	err = c.transport.Together(func() (err error) {
		n, err = c.tls.Write(p)
		return err
	})
	if err != nil {
		return 0, err // how much of it has left is not known
	}
	return n, nil
}

func (c *tlsConn) CloseWrite() error {
	if err := c.tls.CloseWrite(); err != nil {
		return err
	}
	return closeWrite(c.Conn)
}

// Close sends close_notify unless another goroutine is writing, and closes the
// socket. It waits for a peer that takes no bytes for a second at most.
func (c *tlsConn) Close() error {
	if c.stop() {
		return nil
	}
	c.SetWriteDeadline(time.Now().Add(time.Second))
	return c.tls.Close()
}

// release gives back what the connection has borrowed. Nobody may be reading.
func (c *tlsConn) release() { c.transport.Release() }

// gather reads as many records as are there without waiting.
type gather struct {
	c    *tlsConn
	full bool // the last Read has filled its space: the tls.Conn may hold the rest of a record
}

func (g *gather) Read(p []byte) (int, error) {
	n, err := g.c.Read(p)
	for err == nil && n > 0 && n < len(p) && g.c.transport.Buffered() {
		var m int
		m, err = g.c.Read(p[n:])
		n += m
	}
	g.full = n == len(p)
	return n, err
}

// more reports whether there may be something to read without the socket.
func (g *gather) more() bool { return g.full || g.c.transport.Buffered() }
