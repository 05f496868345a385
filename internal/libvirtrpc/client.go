package libvirtrpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// fromClient takes what the client says, and then its end.
func (c *Conversation) fromClient(ctx context.Context) error {
	in := c.client.in
	for {
		h, n, err := in.head()
		if err == io.EOF {
			c.left.Store(true)
			c.absent() // nobody waits for a place any more
			c.holding.Wait()
			if !c.inflight.serverGone() {
				c.inflight.wait()
			}
			if !c.linger() {
				c.Server.CloseWrite() // where that fails, fromServer sees it too
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.client.name, err)
		}
		switch {
		case h.Program == ProgramKeepalive:
			c.client.life.hear(h)
			err = in.skip(n)
		case h.Type == TypeCall:
			err = c.call(ctx, h, n)
		case h.Type == TypeCallWithFDs:
			err = c.refuseFDs(h, n)
		case h.Type == TypeStream || h.Type == TypeStreamHole:
			err = c.streamToServer(h, n)
		default: // a daemon drops the rest as well
			err = in.skip(n)
		}
		if err != nil {
			return err
		}
	}
}

// streamToServer passes a packet of a stream. One of no open stream is dropped,
// as a daemon does: it may be on its way when the other end has closed.
func (c *Conversation) streamToServer(h Head, n int) error {
	in := c.client.in
	if _, refusal := c.Rules.Judge(h); refusal != nil || c.inflight.refusal() != nil {
		return in.skip(n)
	}
	serial, is := c.inflight.toDaemon(h)
	if !is {
		return in.skip(n)
	}
	in.setSerial(serial)
	return in.pass(n)
}

// call takes one call of n bytes.
func (c *Conversation) call(ctx context.Context, h Head, n int) error {
	in := c.client.in
	if err := c.notice(h, n); err != nil {
		return err
	}
	refusal := c.inflight.refusal()
	decide := false
	if refusal == nil {
		decide, refusal = c.Rules.Judge(h)
	}
	var p *pending
	if refusal == nil {
		p, refusal = c.inflight.begin(h)
	}
	if refusal != nil {
		return c.refuse(h, n, refusal)
	}
	var t *ticket
	hold := decide
	if c.places != nil && !decide {
		// A call has its places only once it is all here: else whoever sends none
		// to its end would have them for nothing.
		if hold = !in.whole(n); !hold {
			t = c.places.queue(h)
			hold = !t.advance()
		}
	}
	if hold && c.Memory != nil && !c.Memory.Take(n) {
		c.inflight.forget(p)
		if t != nil {
			t.leave()
		}
		return c.refuse(h, n, Errorf(ErrRPC, "sluice: no memory is left for %s, of %d bytes, among what is held for this caller (limits.peer_memory)", h.Procedure, n))
	}
	switch {
	case decide:
		return c.hold(ctx, n, func(body []byte) error { return c.understand(ctx, p, body) })
	case hold:
		return c.hold(ctx, n, func(body []byte) error { return c.send(p, &Outcome{Body: body}, t) })
	}
	c.inflight.send(p, nil)
	if t != nil {
		c.places.keep(p.serial, t)
	}
	in.setSerial(p.serial)
	return in.pass(n)
}

// refuse answers a call of n bytes.
func (c *Conversation) refuse(h Head, n int, refusal *Error) error {
	if err := c.client.in.skip(n); err != nil {
		return err
	}
	return c.client.out.packet(h.reply(StatusError), refusal.encode())
}

// notice looks at calls that say something of the client itself.
func (c *Conversation) notice(h Head, n int) error {
	if h.Program != ProgramRemote {
		return nil
	}
	switch h.Procedure {
	case procConnectClose:
		c.left.Store(true)
	case ProcConnectSupportsFeature: // whoever asks for keepalive has it (doRemoteOpen)
		if n != headSize+4 {
			return nil
		}
		if err := c.client.in.need(n); err != nil {
			return c.client.in.within(err)
		}
		if binary.BigEndian.Uint32(c.client.in.buf[c.client.in.begin+headSize:]) == FeatureKeepalive {
			c.client.life.known.Store(true)
		}
	}
	return nil
}

// hold takes a call whole, of n bytes for which there is memory, and does with
// it what others need not wait for.
func (c *Conversation) hold(ctx context.Context, n int, do func(body []byte) error) error {
	give := func() {
		if c.Memory != nil {
			c.Memory.Give(n)
		}
	}
	body, err := c.client.in.take(n)
	if err != nil {
		give()
		return err
	}
	select {
	case c.held <- struct{}{}:
	case <-ctx.Done():
		give()
		return context.Cause(ctx)
	}
	c.holding.Go(func() {
		defer func() { <-c.held }()
		defer give()
		if err := do(body); err != nil {
			// The connection is broken, which its reader sees as well.
			c.Client.Close()
			c.Server.Close()
		}
	})
	return nil
}

func (c *Conversation) understand(ctx context.Context, p *pending, body []byte) error {
	o := c.Rules.Understand(ctx, &Call{p.asked, body})
	if o.Body == nil {
		o.Body = body
	}
	if o.Err == nil && headSize+len(o.Body) > MaxPacket {
		o.Err = Errorf(ErrRPC, "the call is longer than libvirt allows, %d bytes", MaxPacket)
	}
	if o.Err == nil && o.Answer == nil {
		return c.send(p, &o, nil)
	}
	if !c.inflight.forget(p) {
		return nil
	}
	defer c.rest()
	if o.Err != nil {
		return c.client.out.packet(p.asked.reply(StatusError), o.Err.encode())
	}
	return c.client.out.packet(p.asked.reply(StatusOK), o.Answer)
}

// send sends a call that was held, once it has its places: t, or those that it is yet to queue for.
func (c *Conversation) send(p *pending, o *Outcome, t *ticket) error {
	h := p.asked
	if o.Procedure != 0 {
		h.Procedure = o.Procedure
	}
	if c.places != nil {
		if t == nil {
			t = c.places.queue(h)
		}
		if !t.wait(c.present) || !c.inflight.send(p, o) { // it has been, or will be, answered
			t.leave()
			return nil
		}
		c.places.keep(p.serial, t)
	} else if !c.inflight.send(p, o) {
		return nil
	}
	h.Serial = p.serial
	return c.server.out.packet(h, o.Body)
}

// refuseFDs refuses a call with file descriptors. Their number is the first word behind the head,
// and each comes with one byte behind the packet (virNetSocketSendFD).
func (c *Conversation) refuseFDs(h Head, n int) error {
	const maxFDs = 32 // VIR_NET_MESSAGE_NUM_FDS_MAX
	in := c.client.in
	if n < headSize+4 {
		return fmt.Errorf("%s: a packet with file descriptors that does not say how many", c.client.name)
	}
	if err := in.need(headSize + 4); err != nil {
		return in.within(err)
	}
	fds := binary.BigEndian.Uint32(in.buf[in.begin+headSize:])
	if fds > maxFDs {
		return fmt.Errorf("%s: a packet with %d file descriptors, where %d are the most", c.client.name, fds, maxFDs)
	}
	if err := in.skip(n); err != nil {
		return err
	}
	if err := in.skip(int(fds)); err != nil {
		return err
	}
	return c.client.out.packet(h.reply(StatusError), Errorf(ErrUnsupported,
		"file descriptors can't be passed to another host: %s is refused", h.Procedure).encode())
}
