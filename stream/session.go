package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
	"golang.org/x/time/rate"
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
}

// A Handler does a session's work at the end that did not open it.
type Handler interface {
	// Connect connects to the local end of a data channel. Channels of one
	// kind come one after the other, in the order in which the opener asked.
	Connect(ctx context.Context, kind string, number int) (net.Conn, error)
	// Call answers one call of the opener. body is msgpack. The session waits
	// for it, also when ctx has ended with the session: what may not be
	// interrupted can go on, within bounds of its own.
	Call(ctx context.Context, name string, body []byte) (any, error)
	// End releases what the handler holds. All channels and calls have ended.
	End(cause *Cause)
}

// Session is one end of a session. Its methods may be called at any time from
// any goroutine.
//
// One goroutine (run) owns the state and decides the cause of the end: the
// opener's word counts, and the acceptor's failures are put to it. Where an
// end only sees that the other's connection broke, it waits a moment for the
// other to say why.
type Session struct {
	Info
	Started time.Time

	opener  bool
	host    string // this one
	limits  Limits
	conn    relay.Conn // control channel
	handler Handler    // acceptor's end only
	token   []byte     // shown by channels in clear
	dial    func(ctx context.Context, clear bool) (relay.Conn, error)

	ctx     context.Context // ends with a *Cause, once no more work may be done
	cancel  context.CancelCauseFunc
	fails   chan *Cause
	settled chan struct{} // closed when cause is set
	cause   *Cause
	over    chan struct{} // closed when everything is gone

	writing sync.Mutex // of control frames
	calls   calls

	send, receive *rate.Limiter // this session's, nil for none
	budget        *relay.Budget
	channels      channels
}

func newSession(info Info, host string, limits Limits, conn relay.Conn) *Session {
	limits = limits.withDefaults()
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &Session{
		Info:    info,
		Started: time.Now(),
		host:    host,
		limits:  limits,
		conn:    conn,
		ctx:     ctx,
		cancel:  cancel,
		fails:   make(chan *Cause),
		settled: make(chan struct{}),
		over:    make(chan struct{}),
		send:    NewLimiter(limits.Bandwidth),
		receive: NewLimiter(limits.Bandwidth),
	}
	if limits.Bytes > 0 {
		s.budget = relay.NewBudget(limits.Bytes)
	}
	return s
}

// Context ends when the session may do no more work; its cause is a *Cause.
func (s *Session) Context() context.Context { return s.ctx }

// Fail ends the session for the given reason, unless it is ending already.
// Code and Text are needed, Host is this one by default.
func (s *Session) Fail(c *Cause) {
	if c.Host == "" {
		own := *c
		own.Host = s.host
		c = &own
	}
	select {
	case s.fails <- c:
	case <-s.settled:
	}
}

// Finish ends the session as done. Only its opener may call it.
func (s *Session) Finish() { s.Fail(&Cause{Code: CodeDone, Text: "done"}) }

// Settled is closed when it is decided how the session ends.
func (s *Session) Settled() <-chan struct{} { return s.settled }

// Wait returns, with the cause of the end, when everything that the session
// opened is gone from both hosts (from this one, where the other no longer
// answers).
func (s *Session) Wait() *Cause {
	<-s.over
	return s.cause
}

// run owns the session from its first frame to its end.
func (s *Session) run() {
	defer close(s.over)
	frames, broken := s.read()
	ping := time.NewTicker(s.limits.Idle / 4)
	defer ping.Stop()
	var length, grace <-chan time.Time
	if s.limits.Length > 0 {
		t := time.NewTimer(s.limits.Length)
		defer t.Stop()
		length = t.C
	}
	var pending *Cause // a failure that waits for the other end's word
	for s.cause == nil {
		select {
		case f := <-frames:
			s.cause = s.take(f, pending)
		case err := <-broken:
			s.cause = s.linkCause("control", err)
			if pending != nil && !pending.symptom {
				s.cause = pending
			}
		case c := <-s.fails:
			switch {
			case pending != nil:
			case s.opener && !c.symptom:
				s.cause = c
			default:
				pending = c
				wait := graceForCause
				if !s.opener {
					wait = graceForVerdict
					s.write(&frame{Kind: kindFailed, Cause: c, Clear: c.symptom})
				}
				t := time.NewTimer(wait)
				defer t.Stop()
				grace = t.C
			}
		case <-grace:
			s.cause = pending
		case <-length:
			s.cause = &Cause{Code: CodeLimit, Host: s.host, Text: fmt.Sprintf(
				"the session has lasted as long as it may, %v (limits.session_timeout)", s.limits.Length)}
		case <-ping.C:
			if err := s.write(&frame{Kind: kindPing}); err != nil {
				s.cause = s.linkCause("control", err)
			}
		}
	}
	close(s.settled)
	s.end(frames, broken)
}

// take handles a frame of the control channel; a cause ends the session.
func (s *Session) take(f *frame, pending *Cause) *Cause {
	switch {
	case f.Kind == kindPing:
	case f.Kind == kindReply && s.opener:
		s.calls.reply(f)
	case f.Kind == kindCall && !s.opener:
		return s.calls.serve(s, f)
	case f.Kind == kindFailed && s.opener && f.Cause != nil:
		if f.Clear && pending != nil { // the peer too has only seen the connection break
			return pending
		}
		return f.Cause.printable()
	case f.Kind == kindEnd && !s.opener && f.Cause != nil:
		return f.Cause.printable()
	default:
		return &Cause{Code: CodeProtocol, Host: s.host, Channel: "control", Text: fmt.Sprintf(
			"%s sent a frame that has no place there: %s", s.Peer, f.Kind)}
	}
	return nil
}

// end closes everything in order: the verdict goes out; channels end by
// themselves or are cut; calls have returned; the handler lets go; the
// acceptor's close of the control channel tells the opener that all is gone.
func (s *Session) end(frames <-chan *frame, broken <-chan error) {
	if s.opener {
		s.write(&frame{Kind: kindEnd, Cause: s.cause})
	}
	if s.cause.Done() {
		s.channels.drain(graceForDrain)
	}
	s.cancel(s.cause)
	s.channels.wait()
	s.calls.wait()
	if s.handler != nil {
		s.handler.End(s.cause)
	}
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	patience := graceForCleanup
	if !s.opener {
		s.conn.CloseWrite()
		patience = graceForVerdict
	}
	if s.cause.Code == CodeLink {
		patience = 0
	}
	giveUp := time.NewTimer(patience)
	defer giveUp.Stop()
	for gone := false; !gone; {
		select {
		case <-frames:
		case <-giveUp.C:
			s.conn.Close() // ends the read
		case <-broken:
			gone = true
		}
	}
	s.conn.Close()
}

// read starts the goroutine that reads the control channel. It ends when the
// channel does, having sent the reason once.
func (s *Session) read() (<-chan *frame, <-chan error) {
	frames, broken := make(chan *frame), make(chan error, 1)
	go func() {
		r := &idleReader{conn: s.conn, idle: s.limits.Idle}
		for {
			f, err := readFrame(r, MaxControl)
			if err != nil {
				broken <- err
				return
			}
			frames <- f
		}
	}()
	return frames, broken
}

// idleReader gives each read its deadline.
type idleReader struct {
	conn net.Conn
	idle time.Duration
}

func (r *idleReader) Read(p []byte) (int, error) {
	r.conn.SetReadDeadline(time.Now().Add(r.idle))
	return r.conn.Read(p)
}

// write sends one control frame.
func (s *Session) write(f *frame) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return writeFrame(s.conn, f, MaxControl)
}

// linkCause says in words how the connection of a channel to the peer broke.
func (s *Session) linkCause(channel string, err error) *Cause {
	c := &Cause{Code: CodeLink, Host: s.host, Channel: channel, symptom: true}
	var timeout net.Error
	switch {
	case errors.Is(err, ErrFrame):
		c.Code = CodeProtocol
		c.Text = fmt.Sprintf("%s (%s) sent what is not of this protocol: %v", s.Peer, s.Address, err)
	case errors.Is(err, relay.ErrTruncated), errors.Is(err, io.ErrUnexpectedEOF):
		c.Text = fmt.Sprintf("the connection with %s (%s) ended without TLS's close_notify: its sluice was killed, or something between cut it", s.Peer, s.Address)
	case errors.Is(err, io.EOF):
		c.Text = fmt.Sprintf("%s (%s) closed the session without saying why", s.Peer, s.Address)
	case errors.As(err, &timeout) && timeout.Timeout():
		c.Text = fmt.Sprintf("nothing heard from %s (%s) for %v: the link is down, or the host is frozen", s.Peer, s.Address, s.limits.Idle)
	default:
		c.Text = fmt.Sprintf("the connection with %s (%s) broke: %v", s.Peer, s.Address, err)
	}
	return c
}
