package libvirtrpc

import (
	"context"
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
	// Busy says whether the end of the connection would break what is under way,
	// although no call is.
	Busy() bool
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
	// Await, if not nil, says for how long the daemon is to be left to reply once
	// the client is gone, or the conversation is broken off.
	Await func() time.Duration
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
	// Memory, if not nil, is what calls that are held take; a call for which
	// none is left is refused.
	Memory interface {
		Take(n int) bool
		Give(n int)
	}
	// Draining, once closed, ends the conversation as soon as no call and
	// nothing else (Busy) is under way.
	Draining <-chan struct{}
	// Parting, if not nil, words the answer to the calls that are under way when
	// the conversation is broken off for err. It may wait a moment.
	Parting func(err error) *Error

	toClient, toServer sender
	held               chan struct{} // an element for each call held
	holding            sync.WaitGroup

	left     atomic.Bool // the client has ended the connection, or asked for its end
	underway underway
}

// Run passes packets until both sides have ended, and closes both. The first
// failure, or ctx's end, breaks it off.
func (c *Conversation) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.toClient.w, c.toServer.w = deaf{c.Client, func() bool { return ctx.Err() != nil || c.left.Load() }}, deaf{c.Server, always}
	c.held = make(chan struct{}, maxHeld)
	waiting, left := context.WithCancel(context.WithoutCancel(ctx))
	defer left()
	var first error
	var once sync.Once
	fail := func(err error) {
		once.Do(func() {
			first = err
			if c.Failing != nil {
				c.Failing(first)
			}
		})
	}
	end := func(err error) {
		if err != nil && ctx.Err() == nil {
			fail(err)
			cancel(err)
		}
	}
	parted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(parted)
		c.part(context.Cause(ctx))
		left()
		fail(context.Cause(ctx))
		c.Client.Close()
		c.Server.Close()
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer left()
		err := c.up(ctx)
		if c.underway.lostDaemon() {
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
		if c.bereave(waiting) { // the client goes on from there, and then goes
			grace := time.NewTimer(graceForClient)
			select {
			case <-waiting.Done():
			case <-grace.C:
			}
			grace.Stop()
		}
		if err == nil {
			c.Client.CloseWrite()
			time.AfterFunc(graceForClient, func() { c.Client.Close() })
		}
		end(err)
	})
	ended := make(chan struct{})
	var draining sync.WaitGroup
	draining.Go(func() {
		select {
		case <-c.Draining:
			c.underway.draining.Store(true)
			c.rest()
		case <-ended:
		}
	})
	wg.Wait()
	close(ended)
	draining.Wait()
	if !stop() {
		<-parted
	}
	cancel(nil)
	c.holding.Wait()
	c.Client.Close()
	c.Server.Close()
	return first
}

// rest ends a conversation that is draining, once nothing is under way: the
// daemon sees its end, and the client then the daemon's.
func (c *Conversation) rest() {
	if c.underway.rest(c.Rules.Busy) {
		c.left.Store(true)
		c.Server.CloseWrite()
	}
}

// part breaks a conversation off for err: calls under way are answered in
// words, but for those whose answer is awaited.
func (c *Conversation) part(err error) {
	words := Errorf(ErrRPC, "sluice: %v", err)
	if c.Parting != nil {
		words = c.Parting(err)
	}
	c.Client.SetWriteDeadline(time.Now().Add(graceForClient))
	for _, p := range c.underway.part(words) {
		c.toClient.packet(p.asked.reply(StatusError), words.encode())
	}
	c.Client.SetWriteDeadline(time.Time{})
	c.underway.wait()
}
