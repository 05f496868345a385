package libvirtrpc

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memConn is a connection in memory, for tests whose time is not the clock's:
// what it can hold is bounded, as a socket's buffer is.
type memConn struct{ in, out *memHalf }

func memPair(size int) (a, b *memConn) {
	x, y := newMemHalf(size), newMemHalf(size)
	return &memConn{x, y}, &memConn{y, x}
}

func (c *memConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *memConn) CloseWrite() error {
	c.out.end(io.EOF, false)
	return nil
}

func (c *memConn) Close() error {
	c.out.end(io.EOF, false)
	c.in.end(net.ErrClosed, true)
	return nil
}

func (c *memConn) LocalAddr() net.Addr         { return &net.UnixAddr{} }
func (c *memConn) RemoteAddr() net.Addr        { return &net.UnixAddr{} }
func (c *memConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline knows a time that is past, and none.
func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.late = !t.IsZero()
	c.in.changed.Broadcast()
	return nil
}

func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

type memHalf struct {
	mu      sync.Mutex
	changed sync.Cond
	b       []byte
	size    int
	err     error // of reads once b is empty
	late    bool
}

func newMemHalf(size int) *memHalf {
	h := &memHalf{size: size}
	h.changed.L = &h.mu
	return h
}

func (h *memHalf) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.b) == 0 && h.err == nil && !h.late {
		h.changed.Wait()
	}
	if h.late {
		return 0, os.ErrDeadlineExceeded
	}
	if len(h.b) == 0 {
		return 0, h.err
	}
	n := copy(b, h.b)
	h.b = h.b[n:]
	h.changed.Broadcast()
	return n, nil
}

func (h *memHalf) filled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.b) > 0
}

func (h *memHalf) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n < len(b) {
		if h.err != nil {
			return n, io.ErrClosedPipe
		}
		piece := min(len(b)-n, h.size-len(h.b))
		if piece == 0 {
			h.changed.Wait()
			continue
		}
		h.b = append(h.b, b[n:n+piece]...)
		n += piece
		h.changed.Broadcast()
	}
	return n, nil
}

func (h *memHalf) end(err error, drop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
	if drop {
		h.b = nil
	}
	h.changed.Broadcast()
}
