package record

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// Handshake message types that may follow a handshake (RFC 8446, B.3).
const (
	messageNewSessionTicket = 4
	messageKeyUpdate        = 24
)

// ticketMax is more than any NewSessionTicket has (RFC 8446, 4.6.1).
const ticketMax = 1 << 17

// flag is set by one goroutine and taken by another.
type flag struct{ atomic.Bool }

func (f *flag) take() bool { return f.Load() && f.Swap(false) }

// postHandshake follows the messages in handshake records, which may be cut
// and joined by records at will.
type postHandshake struct {
	head [4]byte
	have int // bytes of head
	skip int // bytes of a ticket that are still to come
}

func (p *postHandshake) partial() bool { return p.have > 0 || p.skip > 0 }

// control handles a record that is no data. io.EOF is close_notify.
func (c *Conn) control(typ byte, content []byte) error {
	if typ != typeHandshake && c.in.post.partial() {
		return localAlert(alertUnexpectedMessage) // 5.1: not interleaved
	}
	switch typ {
	case typeData:
		return nil // empty, as some send to hide what they do
	case typeAlert:
		return c.alert(content)
	case typeHandshake:
		if len(content) == 0 {
			return localAlert(alertUnexpectedMessage)
		}
		return c.messages(content)
	}
	return localAlert(alertUnexpectedMessage)
}

func (c *Conn) alert(content []byte) error {
	if len(content) != 2 {
		return localAlert(alertDecodeError)
	}
	switch content[1] {
	case alertCloseNotify:
		return io.EOF
	case alertUserCanceled:
		return nil // close_notify follows (6.1)
	}
	return remoteAlert(content[1]) // all others end the connection, whatever their level
}

func (c *Conn) messages(b []byte) error {
	p := &c.in.post
	for len(b) > 0 {
		if p.skip > 0 {
			n := min(p.skip, len(b))
			p.skip -= n
			b = b[n:]
			continue
		}
		n := copy(p.head[p.have:], b)
		p.have += n
		b = b[n:]
		if p.have < len(p.head) {
			return nil
		}
		size := int(p.head[1])<<16 | int(p.head[2])<<8 | int(p.head[3])
		switch p.head[0] {
		case messageNewSessionTicket:
			if !c.client {
				return localAlert(alertUnexpectedMessage)
			}
			if size > ticketMax {
				return localAlert(alertDecodeError)
			}
			p.have, p.skip = 0, size
			c.TicketsSkipped.Add(1)
		case messageKeyUpdate:
			if size != 1 {
				return localAlert(alertDecodeError)
			}
			if len(b) == 0 {
				return nil
			}
			p.have = 0
			if len(b) > 1 {
				return localAlert(alertUnexpectedMessage) // 5.1: keys change between records
			}
			return c.keyUpdate(b[0])
		default:
			return localAlert(alertUnexpectedMessage)
		}
	}
	return nil
}

// keyUpdate changes the receiving key. An answer is left to the next Send: the
// reader must not wait for a peer that doesn't read.
func (c *Conn) keyUpdate(request byte) error {
	if request > 1 {
		return localAlert(alertIllegalParameter)
	}
	if err := c.in.half.update(); err != nil {
		return err
	}
	if o := c.in.opener; o != nil {
		if err := c.rekey(o, c.in.half); err != nil {
			return err
		}
	}
	c.in.asked = false
	c.in.ahead = 0 // what was opened with the old key is no record of the new one's
	c.KeyUpdatesReceived.Add(1)
	if request == 1 {
		c.out.answer.Store(true)
	}
	return nil
}

// askForKey asks a peer to change its key that has used it for long: not all do so on their own.
// The reader doesn't wait for it, for the peer may read nothing until it has sent all. If our
// sender is faster it asks in our stead, with its next data.
func (c *Conn) askForKey() {
	c.out.request.Store(true)
	c.asking.Go(func() {
		c.out.mu.Lock()
		defer c.out.mu.Unlock()
		if c.out.ready() != nil || len(c.out.pending) > 0 || c.out.sealer != nil && !c.out.sealer.Rekeys() || !c.out.request.take() {
			return
		}
		c.out.answer.Store(false)
		if err := c.failWrite(c.sendKeyUpdate(true)); isTimeout(err) && c.out.sealer != nil {
			c.out.request.Store(true) // nothing has left: it goes with the next data
		}
	})
}

// ended is called once, with the error that ends the receiving direction. The
// peer is told of an error of its making, when that takes no waiting.
func (c *Conn) ended(err error) error {
	var a localAlert
	if errors.As(err, &a) && c.out.mu.TryLock() {
		defer c.out.mu.Unlock()
		if c.out.ready() == nil && len(c.out.pending) == 0 {
			c.transport.SetWriteDeadline(time.Now().Add(alertWait))
			c.sendControl(typeAlert, []byte{2, byte(a)})
			c.out.fail(err)
		}
	}
	return err
}
