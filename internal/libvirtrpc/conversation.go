package libvirtrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one end of a Conversation.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Rules decide what becomes of a client's packets.
type Rules interface {
	// Judge looks at a packet's head. hold asks for the packet whole, which
	// only a call can be; an error refuses it. A refused call is answered with
	// the error; any other refused packet has no answer, and is dropped. Judge
	// is called for one packet after the other.
	Judge(h Head) (hold bool, refusal *Error)
	// Understand decides on a call that was held. Several may be under way,
	// each in a goroutine of its own; other packets pass meanwhile. ctx ends
	// with the conversation.
	Understand(ctx context.Context, c *Call) Outcome
}

// Call is a client's call, whole.
type Call struct {
	Head
	Body []byte
}

// Outcome is what becomes of a call.
type Outcome struct {
	Err    *Error // not nil: answers the client in libvirtd's place
	Answer []byte // not nil: the body of an answer in libvirtd's place

	// Otherwise the call goes on: with another procedure and body where these
	// are not zero, and to be seen by Reply on its way back, if that is not
	// nil.
	Procedure Procedure
	Body      []byte
	// Reply may change the body of libvirtd's reply. It must not block for
	// long: the packets behind wait for it.
	Reply func(r *Reply)
	// Lost, if not nil, is asked for a reply when the daemon's can't come any
	// more. The client is kept waiting, and told that all is alive, until it
	// returns, or until ctx ends with the client's connection. Nil: none.
	Lost func(ctx context.Context) *Reply
}

// Reply is libvirtd's reply to a call.
type Reply struct {
	Err  *Error // libvirtd's error; nil: done
	Body []byte // of a reply without an error
}

// maxHeld is how many calls may be held at once; a client that has more waits.
const maxHeld = 8

// graceForClient is how long a client may keep its end open once the daemon
// has closed the connection, as daemons do: as a whole.
const graceForClient = 2 * time.Second

// bufferSize is how much is read at once, in bytes. Longer packets pass in
// pieces.
const bufferSize = 64 << 10

// Conversation is one client's connection with a libvirt daemon, whose packets
// it passes on by Rules. Packets with file descriptors are refused, since
// these would not reach another host: the daemon's own promise to take them is
// for Rules to deny (FeatureFDPassing).
type Conversation struct {
	Client, Server Conn
	Rules          Rules
	// Failing, if not nil, is told of the first failure before anything is
	// closed for it.
	Failing func(error)
	// Ended, if not nil, is called when the daemon has ended the connection by
	// itself, or it broke, before the client can see it.
	Ended func()

	toClient, toServer sender
	held               chan struct{} // an element for each call held
	holding            sync.WaitGroup

	left    atomic.Bool // the client has ended the connection, or asked for its end
	over    atomic.Bool // the daemon has ended it
	mu      sync.Mutex
	pending map[replyKey]pending
}

type replyKey struct{ program, serial uint32 }

// pending is a call whose reply is wanted.
type pending struct {
	sent  Procedure // by us
	asked Head      // by the client
	reply func(*Reply)
	lost  func(context.Context) *Reply
}

// Run passes packets until both sides have ended, and closes both. The first
// failure, or ctx's end, ends the whole.
func (c *Conversation) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.toClient.w, c.toServer.w = c.Client, deaf{c.Server}
	c.held = make(chan struct{}, maxHeld)
	c.pending = make(map[replyKey]pending)
	stop := context.AfterFunc(ctx, func() {
		c.Client.Close()
		c.Server.Close()
	})
	var first error
	var once sync.Once
	end := func(err error) {
		if err != nil {
			once.Do(func() {
				first = err
				if ctx.Err() != nil {
					first = context.Cause(ctx)
				}
				if c.Failing != nil {
					c.Failing(first)
				}
			})
			cancel(err)
		}
	}
	var wg sync.WaitGroup
	waiting, left := context.WithCancel(ctx)
	defer left()
	wg.Go(func() {
		defer left()
		err := c.up(ctx)
		if c.over.Load() {
			err = nil // whatever it was, it is too late to matter
		}
		end(err)
	})
	wg.Go(func() {
		in := newInput(c.Server, &c.toClient)
		err := c.down(in)
		if in.err != nil && ctx.Err() == nil && !c.left.Load() && c.Ended != nil {
			c.Ended()
		}
		c.over.Store(true)
		c.bereave(waiting)
		if err == nil {
			c.Client.CloseWrite()
			time.AfterFunc(graceForClient, func() { c.Client.Close() })
		}
		end(err)
	})
	wg.Wait()
	cancel(nil)
	c.holding.Wait()
	stop()
	c.Client.Close()
	c.Server.Close()
	return first
}

// up passes the client's packets, and then its end.
func (c *Conversation) up(ctx context.Context) error {
	in := newInput(c.Client, &c.toServer)
	for {
		h, n, err := in.head()
		if err == io.EOF {
			c.left.Store(true)
			c.holding.Wait()
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
	if c.over.Load() {
		return c.alone(in, h, n)
	}
	hold, refusal := c.Rules.Judge(h)
	switch {
	case refusal != nil:
		if err := in.skip(n); err != nil {
			return err
		}
		if h.Type != TypeCall {
			return nil
		}
		return c.toClient.packet(h.reply(StatusError), refusal.encode())
	case !hold || h.Type != TypeCall:
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
	c.holding.Go(func() {
		defer func() { <-c.held }()
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
	switch {
	case o.Err != nil:
		return c.toClient.packet(h.reply(StatusError), o.Err.encode())
	case o.Answer != nil:
		return c.toClient.packet(h.reply(StatusOK), o.Answer)
	}
	asked := h
	if o.Procedure != 0 {
		h.Procedure = o.Procedure
	}
	if o.Body == nil {
		o.Body = call.Body
	}
	if headSize+len(o.Body) > MaxPacket {
		return c.toClient.packet(h.reply(StatusError), Errorf(ErrRPC, "the call is longer than libvirt allows, %d bytes", MaxPacket).encode())
	}
	if o.Reply != nil || o.Lost != nil || h.Procedure != asked.Procedure {
		if !c.expect(h, pending{h.Procedure, asked, o.Reply, o.Lost}) {
			return c.toClient.packet(h.reply(StatusError), Errorf(ErrRPC, "a call with serial %d is under way already", h.Serial).encode())
		}
	}
	return c.toServer.packet(h, o.Body)
}

// expect asks for the reply to a call.
func (c *Conversation) expect(h Head, p pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := replyKey{h.Program, h.Serial}
	if _, taken := c.pending[key]; taken {
		return false
	}
	c.pending[key] = p
	return true
}

// refuseFDs refuses a call with file descriptors. Their number is the first
// word behind the head, and each comes with one byte behind the packet
// (virNetSocketSendFD).
func (c *Conversation) refuseFDs(in *input, h Head, n int) error {
	const maxFDs = 32 // VIR_NET_MESSAGE_NUM_FDS_MAX
	body, err := in.take(n)
	if err != nil {
		return err
	}
	r := reader{b: body}
	fds := r.uint()
	if r.err != nil || fds > maxFDs {
		return errors.New("libvirt's client: a packet with file descriptors that does not say how many, or too many")
	}
	if err := in.skip(int(fds)); err != nil {
		return err
	}
	return c.toClient.packet(h.reply(StatusError), Errorf(ErrUnsupported,
		"file descriptors can't be passed to another host: %s is refused", h.Procedure).encode())
}

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
		p, wanted := c.wanted(h)
		if !wanted {
			err = in.pass(n)
		} else {
			err = c.reply(in, h, n, p)
		}
		if err != nil {
			return err
		}
	}
}

// wanted finds the call of a reply.
func (c *Conversation) wanted(h Head) (pending, bool) {
	if h.Type != TypeReply {
		return pending{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := replyKey{h.Program, h.Serial}
	p, ok := c.pending[key]
	if ok {
		delete(c.pending, key)
	}
	return p, ok
}

func (c *Conversation) reply(in *input, h Head, n int, p pending) error {
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
