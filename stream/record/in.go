package record

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
)

// uselessMax is how many records in a row may carry no data, as in crypto/tls:
// a peer that sends nothing else only makes us work.
const uselessMax = 64

// inbound is the receiving direction.
type inbound struct {
	mu   sync.Mutex
	half *half
	err  error // the end: io.EOF after close_notify

	mem     buffer.Adaptive
	unread  []byte // bytes from the transport that are not opened yet
	last    int    // what the last read left there
	space   int    // and its room
	plain   [][]byte
	rest    [][]byte // of plain, what Read has not returned yet
	useless int
	asked   bool // for a new key, since the last
	post    postHandshake
	workers workers
	failed  [Slots]bool
	ahead   int    // records of unread that openAhead has opened, counted from where that began
	opener  Opener // if another receives
	exact   bool   // read nothing past the record that is waited for
	most    int    // bytes that a read may leave in memory; 0: as many as there is room for

	take func() []byte // takeSpace and giveBack, made once
	idle func()
}

// Receive returns the content of the records that have arrived, at least one:
// it reads from the transport, once, when there is none. The slices are valid
// until the next Receive or Read, and not empty.
//
// It returns io.EOF after the peer's close_notify, and ErrTruncated for an end without. Nothing of
// a record that was tampered with is ever returned; what came before it is.
func (c *Conn) Receive() ([][]byte, error) { return c.ReceiveUpTo(0) }

// ReceiveUpTo is Receive for a caller who has no use for more than n bytes. It
// returns more only if a record has.
func (c *Conn) ReceiveUpTo(n int) ([][]byte, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.most = 0; n > 0 && n < BatchBytes {
		c.in.most = max(buffer.Small, n/plainMax*stride)
	}
	if len(c.in.rest) > 0 {
		plain := c.in.rest
		c.in.rest = nil
		return plain, nil
	}
	return c.receive()
}

func (c *Conn) receive() ([][]byte, error) {
	in := &c.in
	if in.opener != nil {
		return c.receiveBy(in.opener)
	}
	for {
		in.plain = in.plain[:0]
		err := c.openAll()
		if err != nil && in.err == nil {
			in.err = c.ended(err)
		}
		if len(in.plain) > 0 {
			return in.plain, nil
		}
		if in.err == nil {
			if err := c.fill(); err == nil {
				continue
			} else if in.err == nil {
				return nil, err // a deadline
			}
		}
		in.release()
		return nil, in.err
	}
}

// release gives back what was borrowed, at the end.
func (in *inbound) release() {
	in.rest, in.unread, in.plain = nil, nil, nil
	in.mem.Release()
}

// takeSpace returns memory to read into, behind what is unread.
func (in *inbound) takeSpace() []byte {
	mem := in.mem.Bytes()
	if in.most > 0 {
		mem = mem[:min(len(mem), in.most)]
	}
	in.space = len(mem)
	have := copy(mem, in.unread)
	in.unread = mem[:have]
	if in.exact {
		end := headerLen
		if have >= headerLen {
			end += min(int(binary.BigEndian.Uint16(mem[3:])), cipherMax)
		}
		mem = mem[:end]
	}
	return mem[have:]
}

// giveBack returns borrowed memory while there is nothing to read.
func (in *inbound) giveBack() { in.unread = in.mem.Idle(in.unread) }

// Grown reports whether receiving borrows memory, if there is some. It is for who receives.
func (c *Conn) Grown() bool { return c.in.mem.Grown() }

// Idle gives back what receiving has borrowed, until the next Receive or Read: their
// caller can't go on.
func (c *Conn) Idle() {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if len(c.in.rest) == 0 {
		c.in.giveBack()
	}
}

// openAll opens every whole record in unread.
func (c *Conn) openAll() error {
	in := &c.in
	in.ahead = in.workers.openAhead(in.half, in.unread, &in.failed)
	for i := 0; in.err == nil && len(in.unread) >= headerLen; i++ {
		n := int(binary.BigEndian.Uint16(in.unread[3:]))
		switch {
		case in.unread[0] != typeData:
			// Also change_cipher_spec, which has its place in the handshake only.
			return localAlert(alertUnexpectedMessage)
		case n > cipherMax:
			return localAlert(alertRecordOverflow)
		case len(in.unread) < headerLen+n:
			return nil
		}
		rec := in.unread[:headerLen+n]
		in.unread = in.unread[headerLen+n:]
		var inner []byte
		if i >= in.ahead {
			inner = in.half.decrypt(&in.half.nonce, in.half.take(1), rec)
		} else if !in.failed[i] {
			inner = rec[headerLen : len(rec)-tagLen]
		}
		if inner == nil {
			return localAlert(alertBadRecordMAC)
		}
		if err := c.deliver(inner); err != nil {
			return err
		}
	}
	return nil
}

// deliver handles one record.
func (c *Conn) deliver(inner []byte) error {
	content, typ, err := content(inner)
	if err != nil {
		return err
	}
	return c.accept(typ, content)
}

// accept handles one record's content.
func (c *Conn) accept(typ byte, content []byte) error {
	in := &c.in
	if typ != typeData || len(content) == 0 {
		if in.useless++; in.useless > uselessMax {
			return localAlert(alertUnexpectedMessage)
		}
		return c.control(typ, content)
	}
	if in.post.partial() {
		return localAlert(alertUnexpectedMessage)
	}
	in.plain = append(in.plain, content)
	c.opened()
	return nil
}

// opened follows a record of data.
func (c *Conn) opened() {
	in := &c.in
	in.useless = 0
	if in.half.seq >= c.keyRecords && !in.asked {
		in.asked = true
		c.askForKey()
	}
}

// fill reads from the transport once, behind the start of a record that is
// there already: less than a record to move for each read.
func (c *Conn) fill() error {
	in := &c.in
	in.unread = in.mem.Adapt(in.last, in.space, in.unread)
	var n int
	var err error
	if s, ok := c.transport.(WaitingStream); ok {
		n, err = s.ReadWaiting(in.take, in.idle)
	} else {
		n, err = c.transport.Read(in.take())
	}
	in.unread = in.unread[:len(in.unread)+n]
	in.last = len(in.unread)
	switch {
	case n > 0:
		return nil
	case err == io.EOF:
		in.err = ErrTruncated
		return in.err
	case err == nil:
		return io.ErrNoProgress
	case isTimeout(err):
		return err
	}
	in.err = err
	return err
}
