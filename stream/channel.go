package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Channel is one connection of a session, live or ended. It keeps no socket
// and no buffer once it has ended.
type Channel struct {
	Kind   string
	Number int // within its kind, from 0

	before    *Channel      // of its kind; nil once connected
	connected chan struct{} // closed when the acceptor's local end is; never if that fails

	counters relay.Counters
	open     atomic.Bool
	ended    chan struct{} // closed once open is false for good
	err      error         // set before ended is closed
	wire     atomic.Pointer[wire]
}

// wire is how a channel's bytes go to the peer.
type wire struct {
	path func() relay.Path
	tls  tlsconf.Used
}

// Name is kind and number, such as memory-0.
func (c *Channel) Name() string { return fmt.Sprintf("%s-%d", c.Kind, c.Number) }

// Open says whether bytes may still flow.
func (c *Channel) Open() bool { return c.open.Load() }

// Ended is closed when the channel has ended.
func (c *Channel) Ended() <-chan struct{} { return c.ended }

// Err is why an ended channel did not end in order. It fails the session.
func (c *Channel) Err() error { return c.err }

// Sent is the bytes that went to the peer so far.
func (c *Channel) Sent() int64 { return c.counters.Sent.Load() }

// Received is the bytes that came from the peer so far.
func (c *Channel) Received() int64 { return c.counters.Received.Load() }

// LocalEnded says whether this end's application has ended its stream, and no failure did before.
func (c *Channel) LocalEnded() bool { return c.counters.LocalEnded.Load() }

// Path is how the bytes are moved.
func (c *Channel) Path() string {
	if w := c.wire.Load(); w != nil {
		return string(w.path())
	}
	return ""
}

// TLS is what the channel's TLS came to.
func (c *Channel) TLS() tlsconf.Used {
	if w := c.wire.Load(); w != nil {
		return w.tls
	}
	return tlsconf.Used{}
}

// channels are a session's. After its end no channel is added any more.
type channels struct {
	mu     sync.Mutex
	list   []*Channel
	ended  bool
	relays sync.WaitGroup // of those that were added and not removed
}

// anyNumber lets reserve choose.
const anyNumber = -1

// reserve adds the next channel of its kind, which must have the given number. The caller then
// calls relay, or Fail and abandon. A session that has failed gets no more channels.
func (s *Session) reserve(kind string, number int) (*Channel, error) {
	cs := &s.channels
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := s.known(); c != nil && !c.symptom {
		return nil, c
	}
	c := &Channel{Kind: kind, connected: make(chan struct{}), ended: make(chan struct{})}
	for _, o := range cs.list {
		if o.Kind == kind {
			c.Number, c.before = o.Number+1, o
		}
	}
	switch {
	case cs.ended:
		return nil, &Cause{Code: CodeRefused, Host: s.link.host, Channel: c.Name(), Text: "the session is over"}
	case number != anyNumber && number != c.Number:
		return nil, &Cause{Code: CodeRefused, Host: s.link.host, Channel: fmt.Sprintf("%s-%d", kind, number), Text: fmt.Sprintf(
			"the channel comes out of order: %s is next", c.Name())}
	case s.limits.Channels > 0 && len(cs.list) >= s.limits.Channels:
		return nil, &Cause{Code: CodeRefused, Host: s.link.host, Channel: c.Name(), Text: fmt.Sprintf(
			"channel limit of the session reached (%d, limits.channels)", len(cs.list))}
	}
	cs.list = append(cs.list, c)
	cs.relays.Add(1)
	return c, nil
}

// turn waits until the channel before c of its kind is connected. If that
// fails the session does, and ctx, which ends with it, says why.
func (c *Channel) turn(ctx context.Context) error {
	if c.before == nil {
		return nil
	}
	select {
	case <-c.before.connected:
		c.before = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s, which must connect first: %w", c.before.Name(), context.Cause(ctx))
	}
}

// failChannel fails the session because c could not be opened.
func (s *Session) failChannel(c *Channel, code string, err error) *Cause {
	cause := *asCause(err, code, s.link.host)
	if cause.Channel == "" {
		cause.Channel = c.Name()
	}
	// Why a peer can't be reached, or does not answer, its control channel may be about to say.
	if cause.Code == CodeLink || cause.Code == CodeTimeout && cause.Host == s.link.host {
		cause.symptom = true
	}
	s.Fail(&cause)
	s.abandon(c)
	return &cause
}

// abandon takes back a channel that did not come about.
func (s *Session) abandon(c *Channel) {
	cs := &s.channels
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.list = slices.DeleteFunc(cs.list, func(o *Channel) bool { return o == c })
	cs.relays.Done()
}

// relay moves c's bytes until it ends, and closes both connections. A failure fails the session.
func (s *Session) relay(c *Channel, local net.Conn, remote relay.Conn) {
	c.begin(remote)
	res := relay.Run(s.ctx, local, remote, relay.Options{
		LocalGone: s.localGone(c),
		Counters:  &c.counters,
		Limits:    s.relayLimits(),
	})
	s.finish(c, res.Err)
}

// begin makes c open.
func (c *Channel) begin(remote relay.Conn) {
	c.wire.Store(&wire{remote.Path, tlsconf.UsedBy(remote.ConnectionState())})
	c.open.Store(true)
}

// finish makes c ended, by err if that is not nil.
func (s *Session) finish(c *Channel, err error) {
	c.open.Store(false)
	c.err = err
	// Let the connection go.
	w := *c.wire.Load()
	path := w.path()
	w.path = func() relay.Path { return path }
	c.wire.Store(&w)
	if err != nil && s.ctx.Err() == nil {
		s.Fail(s.relayCause(c, err))
	}
	close(c.ended)
	s.channels.relays.Done()
}

func (s *Session) relayLimits() relay.Limits {
	return relay.Limits{
		Send:    Limiters(s.send, s.limits.TotalSend),
		Receive: Limiters(s.receive, s.limits.TotalReceive),
		Budget:  s.budget,
		Buffers: s.buffers,
	}
}

// localGone is what happens when QEMU has closed its end of c with bytes under way. It does so
// after some migrations that went well, and when it dies; which of the two is not for the socket to
// say, but for libvirt: at the opener by its own call, at the acceptor by its handler.
func (s *Session) localGone(c *Channel) func(*relay.Error) {
	h, ok := s.handler.(interface{ LocalGone(*Cause) })
	switch {
	case !channelKind(c.Kind).QEMU:
		return nil
	case s.opener && s.onLocalGone != nil:
		return func(err *relay.Error) { s.onLocalGone(s.relayCause(c, err)) }
	case ok:
		return func(err *relay.Error) { h.LocalGone(s.relayCause(c, err)) }
	}
	return nil
}

// relayCause says in words how a relay failed.
func (s *Session) relayCause(c *Channel, err error) *Cause {
	var e *relay.Error
	switch {
	case errors.Is(err, relay.ErrByteLimit):
		return &Cause{Code: CodeLimit, Channel: c.Name(), Text: fmt.Sprintf(
			"byte limit of the session reached (%d, limits.session_bytes)", s.limits.Bytes)}
	case errors.As(err, &e) && e.Side == relay.Local:
		verb := map[string]string{"read": "reading from", "write": "writing to"}[e.Op]
		return &Cause{Code: CodeLocal, Channel: c.Name(), Text: fmt.Sprintf("%s %s failed: %v", verb, channelKind(c.Kind).Local, e.Err)}
	}
	return s.link.cause(c.Name(), err)
}

// Channels is a snapshot of the session's channels, live and ended.
func (s *Session) Channels() []*Channel {
	s.channels.mu.Lock()
	defer s.channels.mu.Unlock()
	return slices.Clone(s.channels.list)
}

// Bytes is what all channels have carried so far.
func (s *Session) Bytes() (sent, received int64) {
	for _, c := range s.Channels() {
		sent += c.Sent()
		received += c.Received()
	}
	return sent, received
}

// SetBandwidth changes this end's limit of the session, bytes per second each
// way, while it runs. It does nothing for a session that began without one, or
// whose limits are lifted.
func (s *Session) SetBandwidth(bytesPerSecond int64) {
	s.setRate(bytesPerSecond)
	select {
	case <-s.lifted: // also while this was being set
		s.setRate(0)
	default:
	}
}

func (s *Session) setRate(bytesPerSecond int64) {
	for _, l := range Limiters(s.send, s.receive) {
		l.SetRate(bytesPerSecond)
	}
}

// drain waits until every channel has ended by itself, or for patience.
func (cs *channels) drain(patience time.Duration) {
	done := make(chan struct{})
	go func() {
		cs.wait()
		close(done)
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// wait refuses channels from now on and returns when all have ended.
func (cs *channels) wait() {
	cs.mu.Lock()
	cs.ended = true
	cs.mu.Unlock()
	cs.relays.Wait()
}
