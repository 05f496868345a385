package libvirtrpc

import (
	"fmt"
	"io"
)

// down passes the daemon's packets, and then its end.
func (c *Conversation) down(in *input) error {
	for {
		h, n, err := in.head()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("libvirt's daemon: %w", err)
		}
		if h.Type == TypeReplyWithFDs {
			return fmt.Errorf("libvirt's daemon: a reply to %s with file descriptors, which nobody has asked for", h.Procedure)
		}
		p, is := pending{}, false
		if h.Type == TypeReply {
			p, is = c.underway.end(h)
		}
		if p.sent == 0 {
			err = in.pass(n)
		} else {
			err = c.reply(in, h, n, &p)
		}
		if is {
			c.underway.over(p)
		}
		if err != nil {
			return err
		}
		if is {
			c.rest()
		}
	}
}

func (c *Conversation) reply(in *input, h Head, n int, p *pending) error {
	body, err := in.take(n)
	if err != nil {
		return err
	}
	if h.Procedure != p.sent {
		return fmt.Errorf("libvirt's daemon: a reply to %s for a call of %s", h.Procedure, p.sent)
	}
	h.Procedure = p.asked.Procedure
	if p.reply == nil {
		return c.toClient.packet(h, body)
	}
	r := &Reply{Body: body}
	if h.Status == StatusError {
		if r.Err, err = DecodeError(body); err != nil {
			return err
		}
		own := *r.Err
		if p.reply(r); r.Err != nil && *r.Err == own {
			return c.toClient.packet(h, body) // with all that libvirt says
		}
	} else {
		p.reply(r)
	}
	if r.Err != nil {
		return c.toClient.packet(h.reply(StatusError), r.Err.encode())
	}
	return c.toClient.packet(h.reply(StatusOK), r.Body)
}
