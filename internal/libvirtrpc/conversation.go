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

// maxHeld is how many calls may be held at once, for Rules or for a place; a
// client that has more waits.
const maxHeld = 8

// graceForClient is how long a client may keep its end open once the daemon
// has closed the connection, as daemons do: as a whole.
const graceForClient = 2 * time.Second

// bufferSize is how much is read at once, in bytes. Longer packets pass in pieces.
const bufferSize = 64 << 10

// A Side is one of the two that a Conversation speaks with.
type Side int

// Sides.
const (
	NoSide Side = iota
	ClientSide
	ServerSide
)

// Conversation is one client's connection with a libvirt daemon. It speaks libvirt's protocol with
// each by itself, with serials and signs of life of its own, and passes on by Rules what one says
// to the other. Packets with file descriptors are refused, since these would not reach another
// host: the daemon's own promise to take them is for Rules to deny (FeatureFDPassing).
type Conversation struct {
	Client, Server Conn
	Rules          Rules
	// Unwatched is the side whose silence is for somebody else to notice, as a session does for its
	// channels. The other, or both, are given up after Silence without a sign of life.
	Unwatched Side
	// Failing, if not nil, is told of the first failure before anything is closed for it.
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
	// Budgets, if there are any, are what each call takes a place of, one after the other, before
	// it goes to the daemon. Those are libvirtd's workers: a call keeps its places until the daemon
	// has replied. Calls of high priority take none.
	Budgets []*Budget
	// Background, if not nil, runs what outlives Run: a connection whose client is
	// gone, while the daemon works on its calls. It ends with Draining.
	Background func(func())
	// Rested, if not nil, is called once the daemon works on no call of the client's any more, as far
	// as anybody can tell: it has replied to all, or its connection has ended. That is after Run
	// where the connection outlives it.
	Rested func()
	// Draining, once closed, ends the conversation as soon as no call is in
	// flight and nothing else is under way (Busy).
	Draining <-chan struct{}
	// Explain, if not nil, words the answer to calls in flight when the
	// conversation ends for err. It may wait a moment.
	Explain func(err error) *Error

	client, server neighbour
	inflight       inflight
	held           chan struct{} // an element for each call held
	holding        sync.WaitGroup

	places  *places // nil: as many as there are
	lingers atomic.Bool

	present context.Context // ends when the client has, or all
	absent  context.CancelFunc

	left atomic.Bool // the client has ended the connection, or asked for its end
}

// neighbour is one side: what it says, what is said to it, and its signs of life.
type neighbour struct {
	name string // for errors
	in   *packetReader
	out  packetWriter
	life keepalive
}

// Run passes packets until both sides have ended, and closes both. The first
// failure, or ctx's end, breaks it off.
func (c *Conversation) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.open(ctx)
	defer c.absent()
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
	broken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(broken)
		c.breakOff(context.Cause(ctx))
		left()
		fail(context.Cause(ctx))
		c.Client.Close()
		if !c.linger() {
			c.Server.Close()
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer left()
		err := c.fromClient(ctx)
		if c.inflight.serverGone() {
			err = nil // whatever it was, it is too late to matter
		}
		end(err)
	})
	wg.Go(func() {
		err := c.fromServer()
		if c.lingers.Load() {
			return
		}
		if c.server.in.err != nil && ctx.Err() == nil && !c.left.Load() && c.Ended != nil {
			c.Ended()
		}
		if patience := c.serverLost(waiting, err); patience > 0 { // the client goes on from there, and then goes
			grace := time.NewTimer(patience)
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
	ended, closed := make(chan struct{}), make(chan struct{})
	var watchers, speakers sync.WaitGroup
	for side, n := range map[Side]*neighbour{ClientSide: &c.client, ServerSide: &c.server} {
		watchers.Go(func() { n.listen(ended, side != c.Unwatched, end) })
		speakers.Go(func() { n.speak(closed) })
	}
	watchers.Go(func() {
		select {
		case <-c.Draining:
			c.inflight.draining.Store(true)
			c.rest()
		case <-ended:
		}
	})
	wg.Wait()
	close(ended)
	watchers.Wait()
	if !stop() {
		<-broken
	}
	cancel(nil)
	c.holding.Wait()
	c.Client.Close()
	if c.lingers.Load() {
		c.Background(func() {
			c.untilReplied()
			c.rested()
		})
	} else {
		c.Server.Close()
		if c.places != nil {
			c.places.leaveAll()
		}
		c.rested()
	}
	close(closed)
	speakers.Wait()
	return first
}

func (c *Conversation) rested() {
	if c.Rested != nil {
		c.Rested()
	}
}

// open makes the two neighbours.
func (c *Conversation) open(ctx context.Context) {
	c.present, c.absent = context.WithCancel(ctx)
	c.held = make(chan struct{}, maxHeld)
	c.client.name, c.server.name = "libvirt's client", "libvirt's daemon"
	c.client.out.w = lenient{c.Client, func() bool { return ctx.Err() != nil || c.left.Load() }}
	c.server.out.w = lenient{c.Server, always}
	c.client.in = newPacketReader(c.Client, &c.server.out)
	c.server.in = newPacketReader(c.Server, &c.client.out)
	if len(c.Budgets) > 0 {
		c.places = newPlaces(c.Budgets)
	}
	c.client.life.wake, c.server.life.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	c.server.life.known.Store(true) // a daemon answers pings whoever asks (virNetServerClientInitKeepAlive)
}
