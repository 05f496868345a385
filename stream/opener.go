package stream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/vmihailenco/msgpack/v5"
)

// Opener opens sessions with one peer.
type Opener struct {
	Host    string // this host's name, for messages
	Peer    string // the other's configured name
	Address string // and its address, for messages
	Limits  Limits

	// Dial connects to the peer and authenticates it; in clear, where asked, it only connects.
	// session is the one that the connection is about, or empty: while one daemon of the peer
	// follows another, it decides which of them serves the connection. The context has the deadline
	// of the whole opening.
	Dial func(ctx context.Context, session string, clear bool) (relay.Conn, error)

	// LocalGone, if set, is told when QEMU has closed its end of a channel with
	// bytes under way, in place of failing the session: for callers who learn
	// elsewhere what became of QEMU. It must not wait.
	LocalGone func(*Cause)
}

// NewID is a session's ID: 32 hexadecimal digits that no one can guess.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ValidID says whether id can be a session's.
func ValidID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 16 && hex.EncodeToString(b) == id
}

// Open opens a session. Of info, ID (NewID), Work, Guest, UUID and Clear are
// the caller's, as is Beside. The session outlives ctx, which bounds the opening
// alone. The error is a *Cause when the peer refuses.
func (o *Opener) Open(ctx context.Context, info Info) (*Session, error) {
	info.Peer, info.Address = o.Peer, o.Address
	conn, answer, err := o.exchange(ctx, cmp.Or(info.Beside, info.ID), false, &frame{
		Channel: channelControl,
		Session: info.ID,
		Work:    info.Work,
		Guest:   info.Guest,
		UUID:    info.UUID,
		Clear:   info.Clear,
		Idle:    int(o.Limits.withDefaults().Idle.Milliseconds()),
	})
	if err != nil {
		return nil, err
	}
	s := newSession(info, o.Host, o.Limits, conn, answer.Idle)
	s.opener, s.dial, s.token, s.onLocalGone = true, o.Dial, answer.Token, o.LocalGone
	go s.run()
	return s, nil
}

// Ask puts one question to the peer, outside of any session, and decodes its answer into out (nil:
// not wanted). about is the session that the question is about, or empty.
func (o *Opener) Ask(ctx context.Context, about, name string, in, out any) error {
	body, err := msgpack.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the question %s: %w", name, err)
	}
	conn, answer, err := o.exchange(ctx, about, false, &frame{Channel: channelAsk, Name: name, Body: body})
	if err != nil {
		return err
	}
	conn.Close()
	if out == nil {
		return nil
	}
	if err := msgpack.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("decode %s's answer to the question %s: %w", o.Peer, name, err)
	}
	return nil
}

// OpenChannel joins local, which it takes over and closes, to the peer's end of a new channel, and
// returns once the peer has connected that end. Channels of one kind reach their end one after the
// other, in the order in which the calls began. A channel that can't be opened fails the session,
// and the error is the *Cause of its end.
func (s *Session) OpenChannel(ctx context.Context, kind string, local net.Conn) (*Channel, error) {
	c, remote, err := s.openChannel(ctx, kind)
	if err != nil {
		relay.Reset(local) // nobody takes it for a stream without bytes
		<-s.settled
		return nil, s.cause
	}
	go s.relay(c, local, remote)
	return c, nil
}

// OpenConn is OpenChannel for a caller that reads and writes the peer's stream itself.
func (s *Session) OpenConn(ctx context.Context, kind string) (*Conn, error) {
	c, remote, err := s.openChannel(ctx, kind)
	if err != nil {
		<-s.settled
		return nil, s.cause
	}
	return s.own(c, remote), nil
}

func (s *Session) openChannel(ctx context.Context, kind string) (*Channel, relay.Conn, error) {
	c, err := s.reserve(kind, anyNumber)
	if err != nil {
		s.Fail(asCause(err, CodeRefused, s.link.host))
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	open := &frame{Channel: kind, Number: c.Number, Session: s.ID}
	if s.Clear {
		open.Token = s.token
	}
	o := &Opener{Host: s.link.host, Peer: s.Peer, Address: s.Address, Limits: s.limits, Dial: s.dial}
	var conn relay.Conn
	if err = c.turn(ctx); err == nil {
		conn, _, err = o.exchange(ctx, s.ID, s.Clear, open)
	}
	if err != nil {
		code := CodeLink
		if ctx.Err() != nil {
			code = CodeCancelled
		}
		return nil, nil, s.failChannel(c, code, err)
	}
	close(c.connected)
	return c, conn, nil
}

// exchange connects, sends the open frame and returns with the accept frame.
func (o *Opener) exchange(ctx context.Context, session string, clear bool, open *frame) (relay.Conn, *frame, error) {
	limits := o.Limits.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, limits.Handshake, &Cause{Code: CodeTimeout, Host: o.Host, Text: fmt.Sprintf(
		"%s (%s) did not answer within %v (limits.handshake_timeout): the link is down, a firewall drops the packets, or the host is frozen",
		o.Peer, o.Address, limits.Handshake)})
	defer cancel()
	conn, err := o.Dial(ctx, session, clear)
	if err != nil {
		return nil, nil, o.openingError(ctx, err)
	}
	// The context's end, by deadline or by cancel, unblocks reads and writes.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	open.Kind, open.Versions, open.Host = kindOpen, versions{Version}, o.Host
	answer, err := func() (*frame, error) {
		if err := writeFrame(conn, open, MaxOpen); err != nil {
			return nil, err
		}
		return readFrame(conn, MaxOpen)
	}()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = o.checkAnswer(open, answer)
	} else {
		err = o.openingError(ctx, err)
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, answer, nil
}

func (o *Opener) checkAnswer(open, answer *frame) error {
	switch {
	case answer.Kind == kindRefuse && answer.Cause != nil:
		return answer.Cause.failureFrom(o.Peer)
	case answer.Kind != kindAccept:
		return &Cause{Code: CodeProtocol, Host: o.Host, Text: fmt.Sprintf("%s (%s) answered with a frame of kind %s", o.Peer, o.Address, answer.Kind)}
	case !slices.Contains(open.Versions, answer.Version):
		return &Cause{Code: CodeVersion, Host: o.Host, Text: fmt.Sprintf("%s (%s) chose version %d of the protocol, this host speaks %d", o.Peer, o.Address, answer.Version, Version)}
	}
	return nil
}

// openingError puts into words what went wrong before the peer had answered.
func (o *Opener) openingError(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		// ctx's own deadline, which a socket may see a moment before ctx ends.
		<-ctx.Done()
	}
	var c *Cause
	switch {
	case errors.As(err, &c):
		return c
	case errors.Is(err, errTooLong):
		return fmt.Errorf("open a channel with %s: %w", o.Peer, err)
	case ctx.Err() == nil:
		return link{o.Host, o.Peer, o.Address, 0}.cause("", err)
	case errors.As(context.Cause(ctx), &c):
		return c
	}
	return fmt.Errorf("%s (%s) had not answered yet when the opening was given up: %w", o.Peer, o.Address, context.Cause(ctx))
}
