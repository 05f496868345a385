package libvirtrpc

import (
	"fmt"
	"io"
)

// fromServer takes what the daemon says, and then its end.
func (c *Conversation) fromServer() error {
	in := c.server.in
	for {
		h, n, err := in.head()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.server.name, err)
		}
		switch {
		case h.Program == ProgramKeepalive:
			c.server.life.hear(h)
			err = in.skip(n)
		case h.Type == TypeReply:
			err = c.reply(h, n)
		case h.Type == TypeStream || h.Type == TypeStreamHole:
			serial, is := c.inflight.toClient(h)
			if !is { // a client drops it as well
				err = in.skip(n)
				break
			}
			in.setSerial(serial)
			err = c.pass(n)
		case h.Type == TypeMessage:
			err = c.pass(n)
		case h.Type == TypeReplyWithFDs:
			err = fmt.Errorf("%s: a reply to %s with file descriptors, which nobody has asked for", c.server.name, h.Procedure)
		default:
			err = fmt.Errorf("%s: a packet of type %d, which daemons don't send", c.server.name, h.Type)
		}
		if err != nil {
			return err
		}
	}
}

// pass passes a packet. One that is begun must be ended before the client's pings can be answered,
// and its rest may never come: so none is begun that is not all here as long as the client waits
// for an answer that says where a guest runs.
func (c *Conversation) pass(n int) error {
	in := c.server.in
	if in.whole(n) || !c.inflight.deciding() {
		return in.pass(n)
	}
	h := ParseHead(in.buf[in.begin:])
	body, err := in.take(n)
	if err != nil {
		return err
	}
	return c.client.out.packet(h, body)
}

// reply takes the reply to a call.
func (c *Conversation) reply(h Head, n int) error {
	in := c.server.in
	if c.places != nil {
		c.places.leave(h.Serial)
	}
	p := c.inflight.replied(h)
	if p == nil {
		if c.inflight.refusal() != nil { // it has been answered
			return in.skip(n)
		}
		return fmt.Errorf("%s: a reply to a call that nobody has made (%s, serial %d)", c.server.name, h.Procedure, h.Serial)
	}
	if h.Procedure != p.sent {
		return fmt.Errorf("%s: a reply to %s for a call of %s", c.server.name, h.Procedure, p.sent)
	}
	good, err := h.Status == StatusOK, error(nil)
	if p.whole {
		good, err = c.changeReply(h, n, p)
	} else {
		in.setSerial(p.asked.Serial)
		err = c.pass(n)
	}
	c.inflight.over(p, good)
	if err == nil {
		c.rest()
	}
	return err
}

// changeReply takes a reply whole, lets Rules see it, and says whether what the
// client gets is good.
func (c *Conversation) changeReply(h Head, n int, p *pending) (good bool, err error) {
	body, err := c.server.in.take(n)
	if err != nil {
		return false, err
	}
	h.Procedure, h.Serial = p.asked.Procedure, p.asked.Serial
	if p.reply == nil && h.Status == StatusOK {
		return true, c.answer(p, h, body)
	}
	if p.reply == nil {
		return false, c.client.out.packet(h, body)
	}
	r := &Reply{Body: body}
	if h.Status != StatusError {
		p.reply(r)
	} else {
		if r.Err, err = DecodeError(body); err != nil {
			return false, fmt.Errorf("%s: %w", c.server.name, err)
		}
		own := *r.Err
		if p.reply(r); r.Err != nil && *r.Err == own {
			return false, c.client.out.packet(h, body) // with all that libvirt says
		}
	}
	if r.Err != nil {
		return false, c.client.out.packet(h.reply(StatusError), r.Err.encode())
	}
	return true, c.answer(p, h.reply(StatusOK), r.Body)
}

// answer writes a reply without an error.
func (c *Conversation) answer(p *pending, h Head, body []byte) error {
	if err := c.client.out.packet(h, body); err != nil {
		return err
	}
	if p.wrote != nil {
		p.wrote()
	}
	if p.read != nil {
		c.client.life.askRead(p.read)
	}
	return nil
}
