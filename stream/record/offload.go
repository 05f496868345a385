package record

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
)

// Key is what protects one direction, as another implementation needs it to go on: the kernel.
type Key struct {
	Suite uint16 // TLS's number
	Key   []byte
	IV    []byte // 12 bytes
	Seq   uint64 // of the next record
}

var errHandedOver = errors.New("record: the sending was handed over")

// ErrFixedKey: a KeyUpdate is due, and what protects the direction can't change its key.
var ErrFixedKey = errors.New("the key has to be changed, and this kernel cannot change that of a connection (Linux 6.14 can)")

// Protector is what protects a direction in a Conn's stead.
type Protector interface {
	// SetKey is called when the direction is handed over, and after that for each
	// KeyUpdate, if Rekeys.
	SetKey(Key) error
	// Rekeys says whether the key can be changed.
	Rekeys() bool
}

// Sealer sends in a Conn's stead. SendBy is how.
type Sealer interface {
	Protector
	// Control sends one record that is no data, or nothing of it if a deadline stops it.
	Control(typ byte, content []byte) error
	// Next is the sequence number of the next record.
	Next() (uint64, error)
}

// Opener receives in a Conn's stead.
type Opener interface {
	Protector
	// Open waits for bytes, puts them into p, which has room for a record, and
	// returns of what type they are. Data may be of several records. io.EOF is the
	// end below; a tls.AlertError is the peer's fault, and is what it is told.
	Open(p []byte) (n int, typ byte, err error)
}

// New is a connection over raw whose handshake was made elsewhere. The traffic
// secrets, in for what is received, are the Conn's from now on. It returns
// ErrUnsupported for other suites than this package's.
func New(raw net.Conn, suite uint16, role Role, in, out []byte) (*Conn, error) {
	s := suites[suite]
	if s == nil {
		return nil, ErrUnsupported
	}
	c, err := newConn(raw, s, role, in, out)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	c.state = tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, CipherSuite: suite}
	return c, nil
}

// key is h's for another implementation.
func (h *half) key(suite uint16) (k Key, err error) {
	k = Key{Suite: suite, IV: h.iv[:], Seq: h.seq}
	k.Key, err = h.suite.expandLabel(h.secret, "key", h.suite.keyLen)
	return k, err
}

// give sets p's key to h's.
func (c *Conn) give(p Protector, h *half) error {
	k, err := h.key(c.state.CipherSuite)
	if err != nil {
		return err
	}
	defer clear(k.Key)
	return p.SetKey(k)
}

// HandOverSending leaves the sending of records to s for good. The stream is
// then sent by SendBy; KeyUpdate, alerts and close_notify stay with the Conn,
// which sends them through s. With an error nothing has changed.
func (c *Conn) HandOverSending(s Sealer) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.ready(); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return c.failWrite(err)
	}
	if err := c.give(s, c.out.half); err != nil {
		return err
	}
	c.out.sealer = s
	c.out.batch.Release()
	return nil
}

// SendBy sends by move, which makes at most so many records, after what has to
// come before them. An error is final.
func (c *Conn) SendBy(records int, move func() error) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.ready(); err != nil {
		return err
	}
	// Most moves make fewer: when the key seems to be used up, see how far it is.
	if c.out.half.seq+uint64(records) > c.keyRecords {
		next, err := c.out.sealer.Next()
		if err != nil {
			return c.out.fail(err)
		}
		c.out.half.seq = next
	}
	if err := c.keyUpdates(records); err != nil {
		return c.out.fail(err)
	}
	c.out.half.take(records)
	return c.out.fail(move())
}

// Boundary reports whether all that was received has been returned, so that receiving can be handed
// over. Until then Receive has more; it reads nothing past the record that it waits for.
func (c *Conn) Boundary() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.exact = true
	return len(c.in.rest) == 0 && len(c.in.unread) == 0
}

// HandOverReceiving leaves the receiving of records to o for good, at a Boundary. What o receives
// besides Open is told by Moved; Receive has all that comes by Open, and does for it what it does
// for its own. With an error nothing has changed.
func (c *Conn) HandOverReceiving(o Opener) error {
	if !c.Boundary() {
		return errors.New("record: bytes were received that are not opened")
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.err != nil {
		return c.in.err
	}
	if err := c.give(o, c.in.half); err != nil {
		c.in.exact = false
		return err
	}
	c.in.opener = o
	return nil
}

// Moved says that so many records of data were received past Receive.
func (c *Conn) Moved(records int) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.half.take(records)
	c.opened()
}

// receiveBy is receive where another opens.
func (c *Conn) receiveBy(o Opener) ([][]byte, error) {
	in := &c.in
	in.plain = in.plain[:0]
	for in.err == nil && len(in.plain) == 0 {
		mem := in.mem.Bytes()
		n, typ, err := o.Open(mem)
		var fault tls.AlertError
		switch {
		case err == nil:
			in.half.take(1)
			err = c.accept(typ, mem[:n])
		case isTimeout(err):
			return nil, err
		case err == io.EOF:
			err = ErrTruncated
		case errors.As(err, &fault):
			err = localAlert(fault)
		}
		if err != nil {
			in.err = c.ended(err)
		}
	}
	if len(in.plain) > 0 {
		return in.plain, nil
	}
	in.release()
	return nil, in.err
}

// rekey gives p the key that h has now.
func (c *Conn) rekey(p Protector, h *half) error {
	if !p.Rekeys() {
		return ErrFixedKey
	}
	return c.give(p, h)
}
