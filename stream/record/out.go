package record

import (
	"io"
	"sync"
)

// outbound is the sending direction. Its lock is held over sealing and writing
// alike, so that records leave in the order of their numbers.
type outbound struct {
	mu     sync.Mutex
	half   *half
	closed bool  // close_notify was sealed
	err    error // the first; nothing is sealed after it

	// answer: the peer has asked for a KeyUpdate of ours, which must come before
	// our next data (RFC 8446, 4.6.3). request: we ask the peer for one.
	answer, request flag

	batch   Batch  // of Write
	pending []byte // sealed and not yet written, after a deadline
	control [headerLen + 16 + 1 + tagLen]byte
	workers workers
	sealer  Sealer // if another sends
}

// Send sends the first n bytes of b's Spaces: they are sealed in place and leave in one write. Send
// may be called again after the Batch was filled anew. An error is final.
func (c *Conn) Send(b *Batch, n int) error {
	if !c.out.mu.TryLock() {
		if b.BeforeWait != nil {
			b.BeforeWait()
		}
		c.out.mu.Lock()
	}
	defer c.out.mu.Unlock()
	if err := c.out.ready(); err != nil {
		return err
	}
	if c.out.sealer != nil {
		return errHandedOver
	}
	if err := c.flush(); err != nil {
		return c.out.fail(err)
	}
	c.out.batch.Release() // who sends doesn't write
	sealed, err := c.sealBatch(b, n)
	if err != nil {
		return c.out.fail(err)
	}
	return c.out.fail(writeAll(c.transport, sealed))
}

// BeforeSend runs wait, which waits until there is room to send, so that the
// receiving direction takes the sending one for busy meanwhile.
func (c *Conn) BeforeSend(wait func() error) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.ready(); err != nil {
		return err
	}
	return wait()
}

// sealBatch returns the records of b's first n bytes, after sending what has to come before them.
func (c *Conn) sealBatch(b *Batch, n int) ([]byte, error) {
	o := &c.out
	records := (n + plainMax - 1) / plainMax
	if records == 0 {
		return nil, nil
	}
	if err := c.keyUpdates(records); err != nil {
		return nil, err
	}
	mem := b.mem.Bytes()
	o.workers.seal(o.half, o.half.take(records), mem, n)
	return mem[:n+records*overhead], nil
}

// keyUpdates sends the KeyUpdate that is due before so many more records.
func (c *Conn) keyUpdates(records int) error {
	o := &c.out
	due := o.half.seq+uint64(records) > c.keyRecords
	answer, request := o.answer.take(), o.request.take()
	if !due && !answer && !request {
		return nil
	}
	if o.sealer != nil && !o.sealer.Rekeys() {
		if !due && !answer {
			return nil // asking, too, changes our key
		}
		return ErrFixedKey
	}
	return c.sendKeyUpdate(request)
}

// sendKeyUpdate replaces the sending key, and asks the peer to do so too. When a deadline has stopped
// it the key is replaced all the same, if no sealer has it, and the error is the deadline's.
func (c *Conn) sendKeyUpdate(request bool) error {
	msg := [5]byte{messageKeyUpdate, 0, 0, 1, 0}
	if request {
		msg[4] = 1
	}
	late := c.sendControl(typeHandshake, msg[:])
	if late != nil && (!isTimeout(late) || c.out.sealer != nil) {
		return late
	}
	c.KeyUpdatesSent.Add(1)
	if err := c.out.half.update(); err != nil {
		return err
	}
	if c.out.sealer != nil {
		return c.rekey(c.out.sealer, c.out.half)
	}
	return late
}

// sendControl sends one small record by itself; nothing is pending before it. If a deadline stops it
// the rest is pending, or, with a sealer, nothing has left.
func (c *Conn) sendControl(typ byte, content []byte) error {
	o := &c.out
	if o.sealer != nil {
		return o.sealer.Control(typ, content)
	}
	copy(o.control[headerLen:], content)
	n := o.half.seal(&o.half.nonce, o.half.take(1), o.control[:], len(content), typ)
	o.pending = o.control[:n]
	return c.flush()
}

// ready returns why nothing more can be sent.
func (o *outbound) ready() error {
	if o.err == nil && o.closed {
		return errClosedWrite
	}
	return o.err
}

// fail keeps the first error: part of a record may have left, so that no other may follow.
func (o *outbound) fail(err error) error {
	if o.err == nil && err != nil {
		o.err = err
		o.pending = nil
		o.batch.Release()
	}
	return err
}

// flush writes what a deadline had stopped.
func (c *Conn) flush() error {
	o := &c.out
	if len(o.pending) == 0 {
		return nil
	}
	n, err := c.transport.Write(o.pending)
	if o.pending = o.pending[n:]; err == nil && len(o.pending) > 0 {
		return io.ErrShortWrite
	}
	return err
}

// writeAll is for transports of all kinds, also those that write less than
// they are told without saying why.
func writeAll(w io.Writer, b []byte) error {
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// UpdateKey changes the sending key now, before it is due.
func (c *Conn) UpdateKey() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.ready(); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return c.failWrite(err)
	}
	if s := c.out.sealer; s != nil && !s.Rekeys() {
		return c.out.fail(ErrFixedKey)
	}
	return c.failWrite(c.sendKeyUpdate(false))
}
