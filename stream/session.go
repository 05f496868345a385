package stream

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// Info is what both ends know of a session from its first frame.
type Info struct {
	ID      string // 32 lower-case hexadecimal digits, the opener's choice
	Work    string // what it is for; the caller's word
	Guest   string
	UUID    string
	Peer    string // the other host, by its configured name
	Address string // the other host's address, for messages
	Clear   bool   // data channels go without TLS

	// Beside is another session of the opener's, or empty: it belongs to that one, and is to reach
	// the process that has it. It does not go over the wire as such.
	Beside string
}

// A Handler does a session's work at the end that did not open it.
type Handler interface {
	// Connect connects to the local end of a data channel. Channels of one
	// kind come one after the other, in the order in which the opener asked.
	// It must return soon after ctx has ended. What it returns may be a Taker.
	Connect(ctx context.Context, kind string, number int) (net.Conn, error)
	// Call answers one call of the opener. body is msgpack. The session waits for it, also when ctx
	// has ended with the session: what may not be interrupted can go on, within bounds of its own.
	Call(ctx context.Context, name string, body []byte) (any, error)
	// End releases what the handler holds. All channels and calls have ended.
	End(cause *Cause)
	// A Handler may also have Finishing() bool: while it says true, the stop of the daemon waits
	// for the answers of the calls that are under way. It may have Stop(), which is called when the
	// daemon stops, before the session fails for that, and returns within bounds of its own. And it
	// may have LocalGone(*Cause), which is told, and must not wait, that QEMU has closed its end of
	// a channel with bytes under way; if QEMU has died it fails the session with that cause.
}

// Session is one end of a session. Its methods may be called at any time from any goroutine.
//
// One goroutine (run) owns the state and decides the cause of the end: the opener's word counts,
// and the acceptor's failures are put to it. Where an end only sees that a connection with the
// other broke, it waits a moment for somebody to know why.
type Session struct {
	Info

	opener  bool
	link    link
	limits  Limits
	control control
	ping    time.Duration // between signs of life
	handler Handler       // acceptor's end only
	token   []byte        // shown by channels in clear
	dial    func(ctx context.Context, session string, clear bool) (relay.Conn, error)

	onLocalGone func(*Cause) // opener's end only; may be nil

	ctx     context.Context // ends with a *Cause, once no more work may be done
	cancel  context.CancelCauseFunc
	failing sync.Mutex
	failure *Cause        // the best reason so far to end; guarded by failing
	failed  chan struct{} // has an element when failure is news to run
	settled chan struct{} // closed when cause is set
	cause   *Cause
	over    chan struct{} // closed when everything is gone

	lift   sync.Once
	lifted chan struct{} // closed by Unbound

	calls         calls
	send, receive *relay.Limiter // this session's, nil for none
	budget        *relay.Budget
	buffers       *relay.Buffers
	channels      channels
}

// leastPing bounds how often a peer can make us give signs of life.
const leastPing = 25 * time.Millisecond

// newSession takes the silence that the peer bears in milliseconds, 0 if it does not say.
func newSession(info Info, host string, limits Limits, conn relay.Conn, peerIdle int) *Session {
	limits = limits.withDefaults()
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &Session{
		Info:    info,
		link:    link{host, info.Peer, info.Address, limits.Idle},
		limits:  limits,
		control: control{conn: conn},
		ctx:     ctx,
		cancel:  cancel,
		failed:  make(chan struct{}, 1),
		settled: make(chan struct{}),
		lifted:  make(chan struct{}),
		over:    make(chan struct{}),
		send:    relay.NewLimiter(limits.Bandwidth),
		receive: relay.NewLimiter(limits.Bandwidth),
		buffers: NewBuffers(info.Peer),
	}
	bears := limits.Idle
	if peerIdle > 0 && int64(peerIdle) < bears.Milliseconds() {
		bears = time.Duration(peerIdle) * time.Millisecond
	}
	s.ping = max(bears/4, leastPing)
	s.calls.slots = make(chan struct{}, maxCalls)
	if limits.Bytes > 0 {
		s.budget = relay.NewBudget(limits.Bytes)
	}
	return s
}

// Context ends when the session may do no more work; its cause is a *Cause.
func (s *Session) Context() context.Context { return s.ctx }

// Fail ends the session for the given reason, unless it is ending already. Code and Text are
// needed, Host is this one by default. Fail does not wait: Wait says what the cause turned out to
// be, and returns c itself if that was it, and complete and printable.
func (s *Session) Fail(c *Cause) {
	own := c.printable()
	if own.Host == "" {
		own.Host = s.link.host
	}
	if own.Done() && !s.opener {
		own.Code = CodeRefused
	}
	if *own != *c {
		c = own
	}
	s.failing.Lock()
	defer s.failing.Unlock()
	if s.failure != nil && (c.symptom || !s.failure.symptom) {
		return
	}
	s.failure = c
	select {
	case s.failed <- struct{}{}:
	default:
	}
}

// known is the best reason so far to end, nil for none.
func (s *Session) known() *Cause {
	s.failing.Lock()
	defer s.failing.Unlock()
	return s.failure
}

// Finish ends the session as done. Only its opener may call it.
func (s *Session) Finish() { s.Fail(&Cause{Code: CodeDone, Text: "done"}) }

// Unbound lifts this end's limits of the session's length, bytes and bandwidth: for work that has
// come to where cutting it off does more harm than any excess. Limits that sessions share hold on.
func (s *Session) Unbound() {
	s.lift.Do(func() {
		close(s.lifted)
		if s.budget != nil {
			s.budget.Lift()
		}
		s.SetBandwidth(0)
	})
}

// Settled is closed when it is decided how the session ends.
func (s *Session) Settled() <-chan struct{} { return s.settled }

// Wait returns, with the cause of the end, when everything that the session opened is gone from
// both hosts (from this one, where the other no longer answers).
func (s *Session) Wait() *Cause {
	<-s.over
	return s.cause
}

// run owns the session from its first frame to its end.
func (s *Session) run() {
	defer close(s.over)
	frames := s.control.read(s.limits.Idle)
	beating, quiet := context.WithCancel(context.Background())
	var beat sync.WaitGroup
	beat.Go(func() {
		s.control.beat(beating, s.ping, func(err error) { s.Fail(s.link.cause(channelControl, err)) })
	})
	var length, grace <-chan time.Time
	if s.limits.Length > 0 {
		t := time.NewTimer(s.limits.Length)
		defer t.Stop()
		length = t.C
	}
	lifted := s.lifted
	for s.cause == nil {
		select {
		case <-lifted:
			length, lifted = nil, nil
		case f, alive := <-frames:
			if alive {
				s.cause = s.take(f)
				if f.Kind != kindCall { // whose handler holds it
					f.release()
				}
			} else {
				s.cause = s.lost(s.control.readErr)
			}
		case <-s.failed:
			c := s.known()
			if s.opener && !c.symptom {
				s.cause = c
				break
			}
			wait := graceForCause
			if !s.opener {
				wait = graceForVerdict
				s.control.write(&frame{Kind: kindFailed, Cause: c, Symptom: c.symptom})
			}
			if grace == nil {
				t := time.NewTimer(wait)
				defer t.Stop()
				grace = t.C
			}
		case <-grace:
			s.cause = s.known()
		case <-length:
			s.Fail(&Cause{Code: CodeLimit, Text: fmt.Sprintf(
				"time limit of the session reached: %v (limits.session_timeout)", s.limits.Length)})
		}
	}
	s.end(frames, func() {
		quiet()
		beat.Wait()
	})
}

// take handles a frame of the control channel; a cause ends the session.
func (s *Session) take(f *frame) *Cause {
	switch {
	case f.Kind == kindPing:
	case f.Kind == kindReply && s.opener:
		s.calls.reply(f)
	case f.Kind == kindCall && !s.opener:
		if !s.serve(f) {
			f.release()
		}
	case f.Kind == kindFailed && s.opener && f.Cause != nil:
		c := f.Cause.failureFrom(s.Peer)
		if !f.Symptom {
			return c
		}
		if own := s.known(); own != nil { // neither end knows more
			return own
		}
		c.symptom = true // but this end may be about to
		s.Fail(c)
	case f.Kind == kindEnd && !s.opener && f.Cause != nil:
		return f.Cause.from(s.Peer)
	default:
		s.Fail(&Cause{Code: CodeProtocol, Channel: channelControl, Text: fmt.Sprintf(
			"%s sent a frame that has no place there: %s", s.Peer, f.Kind)})
	}
	return nil
}

// lost is the cause once no more frames can be read.
func (s *Session) lost(err error) *Cause {
	if c := s.known(); c != nil && !c.symptom {
		return c
	}
	c := s.link.cause(channelControl, err)
	if !s.opener { // the other direction may be alive
		s.control.write(&frame{Kind: kindFailed, Cause: c})
	}
	return c
}

// end closes everything in order: the verdict goes out; channels end by themselves or are cut;
// calls have returned; the handler lets go; the acceptor's close of the control channel tells the
// opener that all is gone. Signs of life go on as long as there is something to wait for.
func (s *Session) end(frames <-chan *frame, quiet func()) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for f := range frames {
			f.release()
		}
	}()
	if s.opener { // before any channel breaks for it
		s.control.write(&frame{Kind: kindEnd, Cause: s.cause})
	}
	if s.cause.Done() {
		close(s.settled)
		s.channels.drain(graceForDrain)
		s.cancel(s.cause)
	} else {
		s.cancel(s.cause)
		close(s.settled)
	}
	s.channels.wait()
	s.calls.served.Wait()
	if s.handler != nil {
		s.handler.End(s.cause)
	}
	patience := graceForCleanup
	if !s.opener {
		quiet()
		s.control.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		s.control.conn.CloseWrite()
		patience = graceForVerdict
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C:
	}
	s.control.conn.Close() // ends the read
	<-gone
	quiet()
}
