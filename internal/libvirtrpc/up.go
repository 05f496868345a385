package libvirtrpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// up passes the client's packets, and then its end.
func (c *Conversation) up(ctx context.Context) error {
	in := newInput(c.Client, &c.toServer)
	for {
		h, n, err := in.head()
		if err == io.EOF {
			c.left.Store(true)
			c.holding.Wait()
			if !c.underway.lostDaemon() {
				c.underway.wait()
			}
			c.Server.CloseWrite() // where that fails, down sees it too
			return nil
		}
		if err != nil {
			return fmt.Errorf("libvirt's client: %w", err)
		}
		if err := c.one(ctx, in, h, n); err != nil {
			return err
		}
	}
}

// one takes one packet of the client's, of n bytes.
func (c *Conversation) one(ctx context.Context, in *input, h Head, n int) error {
	if h.Type == TypeCallWithFDs {
		return c.refuseFDs(in, h, n)
	}
	if h.Program == ProgramRemote && h.Procedure == procConnectClose {
		c.left.Store(true)
	}
	if refusal := c.underway.refusal(); refusal != nil {
		return c.alone(in, h, n, refusal)
	}
	held := false
	hold, refusal := c.Rules.Judge(h)
	if h.Type != TypeCall {
		if refusal != nil {
			return in.skip(n)
		}
		return in.pass(n)
	}
	if refusal == nil && hold && c.Memory != nil {
		if c.Memory.Take(n) {
			defer func() {
				if !held {
					c.Memory.Give(n)
				}
			}()
		} else {
			refusal = Errorf(ErrRPC, "sluice: no memory is left for %s, of %d bytes, among what is held for this caller (limits.peer_memory)", h.Procedure, n)
		}
	}
	if refusal == nil {
		refusal = c.underway.begin(h)
	}
	switch {
	case refusal != nil:
		if err := in.skip(n); err != nil {
			return err
		}
		return c.toClient.packet(h.reply(StatusError), refusal.encode())
	case !hold:
		return in.pass(n)
	}
	body, err := in.take(n)
	if err != nil {
		return err
	}
	select {
	case c.held <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	held = true
	c.holding.Go(func() {
		defer func() { <-c.held }()
		if c.Memory != nil {
			defer c.Memory.Give(n)
		}
		if err := c.understand(ctx, &Call{h, body}); err != nil {
			// The connection is broken, which its reader sees as well.
			c.Client.Close()
			c.Server.Close()
		}
	})
	return nil
}

func (c *Conversation) understand(ctx context.Context, call *Call) error {
	h := call.Head
	o := c.Rules.Understand(ctx, call)
	if o.Procedure != 0 {
		h.Procedure = o.Procedure
	}
	if o.Body == nil {
		o.Body = call.Body
	}
	if o.Err == nil && headSize+len(o.Body) > MaxPacket {
		o.Err = Errorf(ErrRPC, "the call is longer than libvirt allows, %d bytes", MaxPacket)
	}
	if o.Err == nil && o.Answer == nil {
		if c.underway.send(call.Head, h.Procedure, &o) {
			return c.toServer.packet(h, o.Body)
		}
		return nil // it has been answered
	}
	h.Procedure = call.Procedure
	if _, is := c.underway.end(h); !is {
		return nil
	}
	defer c.rest()
	if o.Err != nil {
		return c.toClient.packet(h.reply(StatusError), o.Err.encode())
	}
	return c.toClient.packet(h.reply(StatusOK), o.Answer)
}

// refuseFDs refuses a call with file descriptors. Their number is the first
// word behind the head, and each comes with one byte behind the packet
// (virNetSocketSendFD).
func (c *Conversation) refuseFDs(in *input, h Head, n int) error {
	const maxFDs = 32 // VIR_NET_MESSAGE_NUM_FDS_MAX
	if n < headSize+4 {
		return errors.New("libvirt's client: a packet with file descriptors that does not say how many")
	}
	if err := in.need(headSize + 4); err != nil {
		return within(err)
	}
	fds := binary.BigEndian.Uint32(in.buf[in.begin+headSize:])
	if fds > maxFDs {
		return errors.New("libvirt's client: a packet with too many file descriptors")
	}
	if err := in.skip(n); err != nil {
		return err
	}
	if err := in.skip(int(fds)); err != nil {
		return err
	}
	return c.toClient.packet(h.reply(StatusError), Errorf(ErrUnsupported,
		"file descriptors can't be passed to another host: %s is refused", h.Procedure).encode())
}
