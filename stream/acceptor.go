package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/vmihailenco/msgpack/v5"
)

// maxName bounds what an opener says of its session, in bytes each.
const maxName = 256

// Acceptor serves the sessions that peers open. Host and Elsewhere are set before Serve and not
// changed after.
type Acceptor struct {
	Host string // this host's name, for messages

	// Elsewhere, if not nil, says whether another process of this host has taken a connection in
	// clear, whose first frame, as open, names a session that is not here.
	Elsewhere func(conn relay.Conn, session string, open []byte) bool

	mu       sync.Mutex
	sessions map[string]*accepted
	shares   shares
}

// Terms are what connections are served by. They are not changed: others take their place for the
// connections that come after.
type Terms struct {
	Limits Limits
	Share  Share // of each peer

	// Accept decides on a session and gives it its Handler; an error refuses it, in its words.
	// started is called, before the session's first call, with the session that came of it.
	Accept func(ctx context.Context, info Info) (h Handler, started func(*Session), err error)
	// Ask answers a peer's question that belongs to no session. body is msgpack.
	Ask func(ctx context.Context, peer, name string, body []byte) (any, error)
}

// Who is whom a connection has been authenticated as.
type Who struct {
	Peer string // the configured name; empty: nobody who may begin anything
	// Former are names that it went by when sessions began that may still be under way. It may join
	// those, and ask what became of them.
	Former []string
	// Denied is why it may begin nothing, where it has none but former names.
	Denied error
}

// is says whether sessions of a peer are its own.
func (w Who) is(peer string) bool {
	return w.Peer != "" && w.Peer == peer || slices.Contains(w.Former, peer)
}

// name is for messages and shares; empty for a connection in clear.
func (w Who) name() string {
	if w.Peer == "" && len(w.Former) > 0 {
		return w.Former[0]
	}
	return w.Peer
}

// accepted is a session in the acceptor's list.
type accepted struct {
	*Session
	live bool // channels may join; guarded by Acceptor.mu
}

// Serve speaks with one connection until it has ended, and closes it. Whose it is and its terms are
// asked for once its first frame is there, so that they are those of that moment, and before that
// for the time that this may take. One in clear is nobody's, and may only join a session that
// allows it. The error is about an opening that came to nothing; the end of a session is told to
// its Handler. When ctx ends, so do the sessions.
func (a *Acceptor) Serve(ctx context.Context, conn relay.Conn, whose func() (Who, *Terms)) error {
	who, t := whose()
	conn.SetDeadline(time.Now().Add(t.Limits.withDefaults().Handshake))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	open, err := readFrame(conn, MaxOpen)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("read the first frame of %s (%v): %w", nameOr(who.name(), "a connection in clear"), conn.RemoteAddr(), err)
		if errors.Is(err, ErrFrame) && who.name() != "" { // a stranger learns nothing
			a.refuse(conn, &Cause{Code: CodeProtocol, Text: err.Error()})
			return err
		}
		conn.Close()
		return err
	}
	who, t = whose()
	if who.name() == "" && a.Elsewhere != nil && a.live(open.Session) == nil {
		if frame, err := encodeFrame(open, MaxOpen); err == nil && a.Elsewhere(conn, open.Session, frame) {
			conn.Close() // the other process has its own descriptor of it
			return nil
		}
	}
	if err := a.serve(ctx, conn, who, open, t); err != nil {
		a.refuse(conn, err)
		return err
	}
	return nil
}

// ServeClear is Serve for a connection in clear that another process of this host has passed on,
// after it has read its first frame, which is open.
func (a *Acceptor) ServeClear(ctx context.Context, conn relay.Conn, open []byte, t *Terms) error {
	f, err := readFrame(bytes.NewReader(open), MaxOpen)
	if err == nil {
		conn.SetDeadline(time.Now().Add(t.Limits.withDefaults().Handshake))
		err = a.serve(ctx, conn, Who{}, f, t)
	}
	if err != nil {
		a.refuse(conn, err)
	}
	return err
}

// IDs are those of the sessions that are here.
func (a *Acceptor) IDs() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.sessions))
}

// Refuse tells a peer, whose frame has not been read and will not be, why
// there is nothing for it here, and closes the connection.
func (a *Acceptor) Refuse(conn relay.Conn, why error) { a.refuse(conn, why) }

func (a *Acceptor) refuse(conn relay.Conn, err error) {
	defer conn.Close()
	cause := asCause(err, CodeRefused, a.Host).from(a.Host)
	conn.SetDeadline(time.Now().Add(writeTimeout))
	if writeFrame(conn, &frame{Kind: kindRefuse, Host: a.Host, Cause: cause}, MaxOpen) != nil {
		return
	}
	// Closing while the peer's frame is unread would reset the connection and
	// take our words with it.
	if conn.CloseWrite() == nil {
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

func (a *Acceptor) serve(ctx context.Context, conn relay.Conn, who Who, open *frame, t *Terms) error {
	if open.Kind != kindOpen {
		return refusal("the first frame is of kind %s, not open", open.Kind)
	}
	if !slices.Contains(open.Versions, Version) {
		return &Cause{Code: CodeVersion, Text: fmt.Sprintf(
			"protocol versions %v are offered, and only %d is spoken here: update the older sluice", open.Versions, Version)}
	}
	if open.Channel != channelAsk && !ValidID(open.Session) {
		return refusal("%.40q is no session ID", open.Session)
	}
	switch {
	case who.name() == "" && (open.Channel == channelAsk || open.Channel == channelControl):
		return refusal("the channel %s needs TLS", open.Channel)
	case open.Channel == channelAsk:
		return a.ask(ctx, conn, who, open, t)
	case open.Channel == channelControl && who.Peer == "":
		return who.Denied
	case open.Channel == channelControl:
		return a.control(ctx, conn, who.Peer, open, t)
	}
	return a.join(ctx, conn, who, open, t)
}

func (a *Acceptor) ask(ctx context.Context, conn relay.Conn, who Who, open *frame, t *Terms) error {
	if t.Ask == nil {
		return refusal("no questions are answered here")
	}
	give, err := a.shares.take(who.name(), "questions", "limits.peer_asks", t.Share.Asks)
	if err != nil {
		return err
	}
	defer give()
	ctx, cancel := context.WithTimeout(ctx, t.Limits.withDefaults().answer())
	defer cancel()
	out, err := t.Ask(ctx, who.Peer, open.Name, open.Body)
	if err != nil {
		return err
	}
	answer := &frame{Kind: kindAccept, Version: Version, Host: a.Host}
	if answer.Body, err = msgpack.Marshal(out); err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(writeTimeout))
	err = writeFrame(conn, answer, MaxOpen)
	if errors.Is(err, errTooLong) {
		return err
	}
	defer conn.Close()
	if err == nil && conn.CloseWrite() == nil {
		discard(conn)
	}
	return nil
}

// control opens a session and stays with it to its end.
func (a *Acceptor) control(ctx context.Context, conn relay.Conn, peer string, open *frame, t *Terms) error {
	limits := t.Limits.withDefaults()
	info := Info{
		ID:      open.Session,
		Work:    open.Work,
		Guest:   open.Guest,
		UUID:    open.UUID,
		Peer:    peer,
		Address: addressOf(conn),
		Clear:   open.Clear,
	}
	for key, text := range map[string]string{"work": info.Work, "guest": info.Guest, "uuid": info.UUID} {
		if printable(text, maxName) != text {
			return refusal("the session's %s has more than %d bytes, or some that can't be printed", key, maxName)
		}
	}
	s := &accepted{Session: newSession(info, a.Host, limits, conn, open.Idle)}
	if t.Share.Memory != nil {
		s.control.memory = t.Share.Memory(peer)
	}
	if !a.add(s) {
		s.cancel(nil)
		return refusal("session %s exists already", info.ID)
	}
	defer a.remove(s)

	bounded, cancel := context.WithTimeout(ctx, limits.answer())
	handler, started, err := t.Accept(bounded, info)
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
	// Once started, the session's own end cleans up, whatever happens.
	if started != nil {
		started(s.Session)
	}
	a.enliven(s)
	stop := context.AfterFunc(ctx, func() {
		if h, ok := handler.(interface{ Stop() }); ok {
			h.Stop()
		}
		if f, ok := handler.(interface{ Finishing() bool }); ok && f.Finishing() {
			s.calls.served.Wait()
		}
		s.Fail(&Cause{Code: CodeShutdown, Text: "the daemon is stopping"})
	})
	defer stop()
	if err := s.control.write(&frame{
		Kind:    kindAccept,
		Version: Version,
		Host:    a.Host,
		Token:   s.token,
		Idle:    int(limits.Idle.Milliseconds()),
	}); err != nil {
		s.Fail(s.link.cause(channelControl, err))
	}
	s.run()
	return nil
}

// join makes conn a channel of a live session and stays with it to its end. A failure beyond the
// first checks fails the session: the opener asked for the channel because QEMU is waiting for it.
func (a *Acceptor) join(ctx context.Context, conn relay.Conn, who Who, open *frame, t *Terms) error {
	limits := t.Limits.withDefaults()
	secure := who.name() != ""
	s := a.live(open.Session)
	switch {
	// One answer for what does not exist, is over or is another's: a peer
	// learns nothing about sessions that are not its own.
	case s == nil, secure && !who.is(s.Peer),
		!secure && (!s.Clear || subtle.ConstantTimeCompare(s.token, open.Token) != 1):
		return refusal("there is no session %s of this peer", open.Session)
	case secure && s.Clear:
		return refusal("session %s was opened for channels without TLS", open.Session)
	case channelKind(open.Channel).Name == "":
		return refusal("channels of kind %.20q are unknown here", open.Channel)
	case open.Number < 0:
		return refusal("no channel has the number %d", open.Number)
	}
	give, err := a.shares.take(s.Peer, "channels", "limits.peer_channels", t.Share.Channels)
	if err != nil {
		return err
	}
	defer give()
	c, err := s.reserve(open.Channel, open.Number)
	if err != nil {
		return err
	}
	local, err := s.connect(ctx, c, limits)
	if err == nil {
		close(c.connected)
		conn.SetDeadline(time.Now().Add(writeTimeout))
		if err = writeFrame(conn, &frame{Kind: kindAccept, Version: Version, Host: a.Host}, MaxOpen); err != nil {
			relay.Reset(local)
			err = s.link.cause(c.Name(), err)
		}
	}
	if err != nil {
		return s.failChannel(c, CodeLocal, err)
	}
	if t, ok := local.(Taker); ok {
		s.channels.relays.Add(1) // the handler's End comes after
		t.Take(s.own(c, conn))
		s.channels.relays.Done()
		<-c.ended
		return nil
	}
	s.relay(c, local, conn)
	return nil
}

// connect connects the local end of c when it is its turn.
func (s *Session) connect(ctx context.Context, c *Channel, limits Limits) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	ctx, stop := context.WithTimeout(ctx, limits.answer())
	defer stop()
	if err := c.turn(ctx); err != nil {
		return nil, err
	}
	local, err := s.handler.Connect(ctx, c.Kind, c.Number)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s failed: %w", channelKind(c.Kind).Local, err)
	}
	return local, nil
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

// Over returns once no session with this ID of this peer's is live here, or with ctx's error.
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
