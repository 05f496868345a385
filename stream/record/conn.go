package record

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
)

// errClosedWrite is what crypto/tls says, too.
var errClosedWrite = errors.New("record: write after close_notify")

// alertWait bounds the wait of an alert or close_notify for which nobody else waits.
const alertWait = time.Second

// Conn is a TLS 1.3 connection after its handshake. It is a net.Conn; Send and Receive are cheaper
// and may be used instead. One goroutine may send while another receives.
//
// A connection holds one record's memory for each direction that was used. A
// direction that moves much borrows half a megabyte from a store of bounded
// size, and gives it back after some small records, or by Close.
type Conn struct {
	raw        net.Conn
	transport  Stream // raw, unless Over has replaced it
	state      tls.ConnectionState
	client     bool
	keyRecords uint64

	in     inbound
	out    outbound
	asking sync.WaitGroup // for a new key of the peer's

	writeDeadline atomic.Pointer[time.Time]

	// What the peer's stream and ours had besides data.
	KeyUpdatesSent, KeyUpdatesReceived, TicketsSkipped atomic.Int64
}

// newConn is a connection over raw whose directions' first secrets are in and out, which it keeps.
func newConn(raw net.Conn, s *suite, role Role, in, out []byte) (*Conn, error) {
	c := &Conn{raw: raw, transport: raw, client: role == IsClient, keyRecords: keyRecords}
	c.in.mem.From = store
	c.in.take, c.in.idle = c.in.takeSpace, c.in.giveBack
	var err error
	if c.in.half, err = newHalf(s, in); err != nil {
		return nil, err
	}
	if c.out.half, err = newHalf(s, out); err != nil {
		return nil, err
	}
	return c, nil
}

// SetWorkers sets how many goroutines seal a large batch, and how many open what a large read has
// brought. 1 leaves both to the caller; 0 is the default, a quarter of the processors and at most 4.
// It may not be called while the connection is used.
func (c *Conn) SetWorkers(n int) { c.in.workers.n, c.out.workers.n = n, n }

// SetShare bounds what the connection borrows. It may not be called while the connection is used.
func (c *Conn) SetShare(s *buffer.Share) { c.in.mem.Share, c.out.batch.Share = s, s }

// SetKeyRecords sets how many records a key protects before it is replaced: 2^24
// by default. It may not be called while the connection is used.
func (c *Conn) SetKeyRecords(n uint64) { c.keyRecords = n }

// Stream is what records go through: a net.Conn, or the part of one that is
// needed. CloseWrite is used where there is one.
type Stream interface {
	io.ReadWriter
	SetWriteDeadline(time.Time) error
}

// WaitingStream is a Stream that knows when it is about to wait, so that no
// memory is held meanwhile. ReadWaiting reads into what take returns; before it
// waits it calls idle, and take again after.
type WaitingStream interface {
	Stream
	ReadWaiting(take func() []byte, idle func()) (int, error)
}

// Over makes the connection's records go through s from now on, which must lead
// to where the net.Conn did. It may not be called while the connection is used.
// The caller's deadlines, and Close, stay with the net.Conn.
func (c *Conn) Over(s Stream) { c.transport = s }

// NetConn returns the net.Conn below.
func (c *Conn) NetConn() net.Conn { return c.raw }

// ConnectionState returns the handshake's.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.state }

// Read returns io.EOF after the peer's close_notify, and ErrTruncated for an end without.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if len(c.in.rest) == 0 {
		plain, err := c.receive()
		if err != nil {
			return 0, err
		}
		c.in.rest = plain
	}
	total := 0
	for len(p) > 0 && len(c.in.rest) > 0 {
		n := copy(p, c.in.rest[0])
		p, total = p[n:], total+n
		if c.in.rest[0] = c.in.rest[0][n:]; len(c.in.rest[0]) == 0 {
			c.in.rest = c.in.rest[1:]
		}
	}
	return total, nil
}

// Write copies p into records and sends them, many with one write. When a deadline has stopped it,
// the bytes that it returns as written leave with the next Write; any other error is final.
func (c *Conn) Write(p []byte) (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.ready(); err != nil {
		return 0, err
	}
	if c.out.sealer != nil {
		return 0, errHandedOver
	}
	// Bytes that are sealed have to be sent, so see that there is time.
	if d := c.writeDeadline.Load(); d != nil && !time.Now().Before(*d) {
		return 0, &net.OpError{Op: "write", Net: "tls", Addr: c.raw.RemoteAddr(), Err: os.ErrDeadlineExceeded}
	}
	if err := c.flush(); err != nil {
		return 0, c.failWrite(err)
	}
	total := 0
	for len(p) > 0 {
		n := 0
		for _, space := range c.out.batch.Spaces() { // held until all is sent
			m := copy(space, p[n:])
			if n += m; m < len(space) {
				break
			}
		}
		sealed, err := c.sealBatch(&c.out.batch, n)
		if err != nil {
			return total, c.failWrite(err)
		}
		p = p[n:]
		total += n
		c.out.pending = sealed
		if err := c.flush(); err != nil {
			return total, c.failWrite(err)
		}
		c.out.batch.Sent(n)
	}
	c.out.batch.Idle()
	return total, nil
}

// failWrite makes err final unless it is a deadline's.
func (c *Conn) failWrite(err error) error {
	if isTimeout(err) {
		return err
	}
	return c.out.fail(err)
}

// CloseWrite sends close_notify, and ends the sending direction of the
// connection below. The other direction goes on.
func (c *Conn) CloseWrite() error {
	if err := c.closeNotify(); err != nil {
		return err
	}
	if h, ok := c.transport.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// closeNotify sends close_notify once.
func (c *Conn) closeNotify() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.closeNotifyLocked()
}

func (c *Conn) closeNotifyLocked() error {
	if c.out.closed || c.out.err != nil {
		return c.out.err
	}
	if err := c.flush(); err != nil {
		return c.failWrite(err)
	}
	c.out.closed = true
	c.out.batch.Release()
	return c.out.fail(c.sendControl(typeAlert, []byte{1, alertCloseNotify}))
}

// Close sends close_notify, unless another goroutine is writing, and closes the connection below.
// It waits a second at most for a peer that takes no bytes. Of several that close at once none fails
// because another was faster.
func (c *Conn) Close() error {
	if c.out.mu.TryLock() {
		c.raw.SetWriteDeadline(time.Now().Add(alertWait))
		c.closeNotifyLocked()
		c.out.mu.Unlock()
	}
	err := c.raw.Close()
	c.Release()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Release ends the connection after the one below was closed by other means than Close, and gives
// its memory back. A direction that is in use does so itself, when it fails.
func (c *Conn) Release() {
	if c.in.mu.TryLock() {
		if c.in.err == nil {
			c.in.err = net.ErrClosed
		}
		c.in.release()
		c.asking.Wait() // the connection below is closed
		c.in.mu.Unlock()
	}
	if c.out.mu.TryLock() {
		c.out.fail(net.ErrClosed)
		c.out.mu.Unlock()
	}
}

func (c *Conn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

func (c *Conn) SetDeadline(t time.Time) error {
	c.setWriteDeadline(t)
	return c.raw.SetDeadline(t)
}

func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.setWriteDeadline(t)
	return c.raw.SetWriteDeadline(t)
}

func (c *Conn) setWriteDeadline(t time.Time) {
	if t.IsZero() {
		c.writeDeadline.Store(nil)
	} else {
		c.writeDeadline.Store(&t)
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
