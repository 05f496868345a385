package stream

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/vmihailenco/msgpack/v5"
)

// Acceptor serves the sessions that peers open. Its fields are set before
// Serve and not changed after.
type Acceptor struct {
	Host   string // this host's name, for messages
	Limits Limits

	// Accept decides on a session and gives it its Handler; an error refuses
	// it, in its words. started is called, before the session's first call,
	// with the session that came of it.
	Accept func(ctx context.Context, info Info) (h Handler, started func(*Session), err error)
	// Ask answers a peer's question that belongs to no session. body is
	// msgpack.
	Ask func(ctx context.Context, peer, name string, body []byte) (any, error)

	mu       sync.Mutex
	sessions map[string]*accepted
}

// accepted is a live session and the order of its channels.
type accepted struct {
	*Session
	live       bool       // accepted: channels may join; guarded by Acceptor.mu
	connecting sync.Mutex // one channel at a time connects its local end
}

// Serve speaks with one connection until it has ended, and closes it. peer is
// the configured name under which the connection has been authenticated, empty
// for one in clear, which may only join a session that allows it.
func (a *Acceptor) Serve(ctx context.Context, conn relay.Conn, peer string) error {
	limits := a.Limits.withDefaults()
	conn.SetDeadline(time.Now().Add(limits.Handshake))
	open, err := readFrame(conn, MaxOpen)
	if err != nil {
		conn.Close()
		return fmt.Errorf("read the first frame of %s (%v): %w", nameOr(peer, "a connection in clear"), conn.RemoteAddr(), err)
	}
	if err := a.serve(ctx, conn, peer, open, limits); err != nil {
		a.refuse(conn, err)
		return err
	}
	return nil
}

// Refuse tells a peer, whose frame has not been read and will not be, why
// there is nothing for it here, and closes the connection.
func (a *Acceptor) Refuse(conn relay.Conn, why string) {
	conn.SetDeadline(time.Now().Add(writeTimeout))
	a.refuse(conn, &Cause{Code: CodeRefused, Text: why})
}

func (a *Acceptor) refuse(conn relay.Conn, err error) {
	defer conn.Close()
	cause := *asCause(err, CodeRefused, a.Host)
	if cause.Host == "" {
		cause.Host = a.Host
	}
	if len(cause.Text) > maxCauseText {
		cause.Text = cause.Text[:maxCauseText]
	}
	if writeFrame(conn, &frame{Kind: kindRefuse, Host: a.Host, Cause: &cause}, MaxOpen) != nil {
		return
	}
	// Closing while the peer's frame is unread would reset the connection and
	// take our words with it.
	if conn.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(writeTimeout))
		discard(conn)
	}
}

// discard reads what a refused peer had sent, within bounds.
func discard(conn net.Conn) {
	buf := make([]byte, 4096)
	for n := 0; n < 2*MaxOpen; {
		m, err := conn.Read(buf)
		if err != nil {
			return
		}
		n += m
	}
}

func (a *Acceptor) serve(ctx context.Context, conn relay.Conn, peer string, open *frame, limits Limits) error {
	if open.Kind != kindOpen {
		return refusal("the first frame is of kind %s, not open", open.Kind)
	}
	if !slices.Contains(open.Versions, Version) {
		return refusal("protocol versions %v are offered, and only %d is spoken here: update the older sluice", open.Versions, Version)
	}
	if open.Channel != channelAsk && !validID(open.Session) {
		return refusal("%.40q is no session ID", open.Session)
	}
	switch {
	case peer == "" && (open.Channel == channelAsk || open.Channel == channelControl):
		return refusal("a %s channel needs TLS", open.Channel)
	case open.Channel == channelAsk:
		return a.ask(ctx, conn, peer, open, limits)
	case open.Channel == channelControl:
		return a.control(ctx, conn, peer, open, limits)
	}
	return a.join(ctx, conn, peer, open, limits)
}

func (a *Acceptor) ask(ctx context.Context, conn relay.Conn, peer string, open *frame, limits Limits) error {
	if a.Ask == nil {
		return refusal("no questions are answered here")
	}
	ctx, cancel := context.WithTimeout(ctx, limits.Handshake)
	defer cancel()
	out, err := a.Ask(ctx, peer, open.Name, open.Body)
	if err != nil {
		return err
	}
	answer := &frame{Kind: kindAccept, Version: Version, Host: a.Host}
	if answer.Body, err = msgpack.Marshal(out); err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(writeTimeout))
	if err := writeFrame(conn, answer, MaxOpen); err != nil {
		return nil // the peer has gone
	}
	if conn.CloseWrite() == nil {
		discard(conn)
	}
	return nil
}

// control opens a session and stays with it to its end.
func (a *Acceptor) control(ctx context.Context, conn relay.Conn, peer string, open *frame, limits Limits) error {
	info := Info{
		ID:      open.Session,
		Work:    open.Work,
		Guest:   open.Guest,
		UUID:    open.UUID,
		Peer:    peer,
		Address: addressOf(conn),
		Clear:   open.Clear,
	}
	s := &accepted{Session: newSession(info, a.Host, a.Limits, conn)}
	if !a.add(s) {
		return refusal("session %s exists already", info.ID)
	}
	defer a.remove(s)

	bounded, cancel := context.WithTimeout(ctx, limits.Handshake)
	handler, started, err := a.Accept(bounded, info)
	cancel()
	if err != nil {
		s.cancel(err)
		close(s.over)
		return err
	}
	s.handler = handler
	if info.Clear {
		s.token = make([]byte, 32)
		rand.Read(s.token)
	}
	conn.SetDeadline(time.Time{})
	a.enliven(s)
	// Once started, the session's own end cleans up, whatever happens.
	if started != nil {
		started(s.Session)
	}
	stop := context.AfterFunc(ctx, func() {
		s.Fail(&Cause{Code: CodeShutdown, Text: "the daemon stops"})
	})
	defer stop()
	if err := s.write(&frame{Kind: kindAccept, Version: Version, Host: a.Host, Token: s.token}); err != nil {
		go s.Fail(s.linkCause("control", err))
	}
	s.run()
	return nil
}

// join makes conn a channel of a live session and stays with it to its end.
func (a *Acceptor) join(ctx context.Context, conn relay.Conn, peer string, open *frame, limits Limits) error {
	s := a.live(open.Session)
	switch {
	// One answer for what does not exist, is over or is another's: a peer
	// learns nothing about sessions that are not its own.
	case s == nil, peer != "" && s.Peer != peer,
		peer == "" && (!s.Clear || subtle.ConstantTimeCompare(s.token, open.Token) != 1):
		return refusal("there is no session %s of this peer", open.Session)
	case peer != "" && s.Clear:
		return refusal("session %s was opened for channels without TLS", open.Session)
	case localName[open.Channel] == "":
		return refusal("channels of kind %.20q are unknown here", open.Channel)
	}
	c, local, err := s.connect(ctx, open, limits)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(limits.Handshake))
	if err := writeFrame(conn, &frame{Kind: kindAccept, Version: Version, Host: a.Host}, MaxOpen); err != nil {
		local.Close()
		conn.Close()
		s.abandon(c)
		s.Fail(s.linkCause(c.Name(), err))
		return nil
	}
	conn.SetDeadline(time.Time{})
	s.relay(c, local, conn)
	return nil
}

// connect connects the local end of the next channel of its kind. A failure
// fails the session: the opener asked for it because QEMU is waiting for it.
func (s *accepted) connect(ctx context.Context, open *frame, limits Limits) (*Channel, net.Conn, error) {
	s.connecting.Lock()
	defer s.connecting.Unlock()
	c, err := s.reserve(open.Channel)
	if err != nil {
		return nil, nil, err
	}
	if c.Number != open.Number {
		s.abandon(c)
		return nil, nil, refusal("channel %s-%d comes out of order: %s is next", open.Channel, open.Number, c.Name())
	}
	ctx, cancel := context.WithTimeout(ctx, limits.Handshake)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	local, err := s.handler.Connect(ctx, c.Kind, c.Number)
	if err != nil {
		s.abandon(c)
		cause := &Cause{Code: CodeLocal, Host: s.host, Channel: c.Name(), Text: err.Error()}
		s.Fail(cause)
		return nil, nil, cause
	}
	return c, local, nil
}

func (a *Acceptor) add(s *accepted) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sessions == nil {
		a.sessions = make(map[string]*accepted)
	}
	if a.sessions[s.ID] != nil {
		return false
	}
	a.sessions[s.ID] = s
	return true
}

func (a *Acceptor) remove(s *accepted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, s.ID)
}

func (a *Acceptor) enliven(s *accepted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.live = true
}

// live is the session that channels may join, nil if there is none.
func (a *Acceptor) live(id string) *accepted {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[id]; s != nil && s.live {
		return s
	}
	return nil
}

// Over returns once no session with this ID of this peer's is live here, or
// with ctx's error.
func (a *Acceptor) Over(ctx context.Context, peer, id string) error {
	a.mu.Lock()
	s := a.sessions[id]
	a.mu.Unlock()
	if s == nil || s.Peer != peer {
		return nil
	}
	select {
	case <-s.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func refusal(format string, args ...any) error {
	return &Cause{Code: CodeRefused, Text: fmt.Sprintf(format, args...)}
}

func addressOf(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

func nameOr(name, other string) string {
	if name == "" {
		return other
	}
	return name
}
