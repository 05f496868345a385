package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/stream/relay"
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
			a.Refuse(conn, &Cause{Code: CodeProtocol, Text: err.Error()})
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
		a.Refuse(conn, err)
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
		a.Refuse(conn, err)
	}
	return err
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
