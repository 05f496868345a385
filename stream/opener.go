package stream

import (
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

	// Dial connects to the peer and authenticates it; in clear, where asked,
	// it only connects. The context has the deadline of the whole opening.
	Dial func(ctx context.Context, clear bool) (relay.Conn, error)
}

// NewID is a session's ID: 32 hexadecimal digits that no one can guess.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func validID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 16 && hex.EncodeToString(b) == id
}

// Open opens a session. Of info, ID (NewID), Work, Guest, UUID and Clear are
// the caller's. The session outlives ctx, which bounds the opening alone. The
// error is a *Cause when the peer refuses.
func (o *Opener) Open(ctx context.Context, info Info) (*Session, error) {
	info.Peer, info.Address = o.Peer, o.Address
	conn, answer, err := o.exchange(ctx, false, &frame{
		Channel: channelControl,
		Session: info.ID,
		Work:    info.Work,
		Guest:   info.Guest,
		UUID:    info.UUID,
		Clear:   info.Clear,
	})
	if err != nil {
		return nil, err
	}
	s := newSession(info, o.Host, o.Limits, conn)
	s.opener, s.dial, s.token = true, o.Dial, answer.Token
	go s.run()
	return s, nil
}

// Ask puts one question to the peer, outside of any session.
func (o *Opener) Ask(ctx context.Context, name string, in, out any) error {
	body, err := msgpack.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the question %s: %w", name, err)
	}
	conn, answer, err := o.exchange(ctx, false, &frame{Channel: channelAsk, Name: name, Body: body})
	if err != nil {
		return err
	}
	conn.Close()
	if err := msgpack.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("decode %s's answer to the question %s: %w", o.Peer, name, err)
	}
	return nil
}

// OpenChannel joins local, which it takes over and closes, to the peer's end
// of a new channel, and returns once the peer has connected that end. Channels
// of one kind reach their end in the order of the calls, so a caller that
// minds the order waits for each. A channel that can't be opened fails the
// session.
func (s *Session) OpenChannel(ctx context.Context, kind string, local net.Conn) error {
	c, err := s.reserve(kind)
	if err != nil {
		local.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	open := &frame{Channel: kind, Number: c.Number, Session: s.ID}
	if s.Clear {
		open.Token = s.token
	}
	o := &Opener{Host: s.host, Peer: s.Peer, Address: s.Address, Limits: s.limits, Dial: s.dial}
	conn, _, err := o.exchange(ctx, s.Clear, open)
	if err != nil {
		local.Close()
		cause := asCause(err, CodeLink, s.host)
		if cause.Channel == "" {
			own := *cause
			own.Channel = c.Name()
			cause = &own
		}
		s.abandon(c)
		s.Fail(cause)
		return cause
	}
	go s.relay(c, local, conn)
	return nil
}

// exchange connects, sends the open frame and returns with the accept frame.
func (o *Opener) exchange(ctx context.Context, clear bool, open *frame) (relay.Conn, *frame, error) {
	limits := o.Limits.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, limits.Handshake, &Cause{Code: CodeTimeout, Host: o.Host, Text: fmt.Sprintf(
		"%s (%s) did not answer within %v (limits.handshake_timeout): the link is down, a firewall drops the packets, or the host is frozen",
		o.Peer, o.Address, limits.Handshake)})
	defer cancel()
	conn, err := o.Dial(ctx, clear)
	if err != nil {
		return nil, nil, o.dialError(ctx, err)
	}
	// The context's end, by deadline or by cancel, unblocks reads and writes.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	open.Kind, open.Versions, open.Host = kindOpen, []int{Version}, o.Host
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
		err = o.dialError(ctx, err)
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
		return answer.Cause.printable()
	case answer.Kind != kindAccept:
		return &Cause{Code: CodeProtocol, Host: o.Host, Text: fmt.Sprintf("%s (%s) answered with a frame of kind %s", o.Peer, o.Address, answer.Kind)}
	case !slices.Contains(open.Versions, answer.Version):
		return &Cause{Code: CodeProtocol, Host: o.Host, Text: fmt.Sprintf("%s (%s) chose version %d of the protocol, this host speaks %d", o.Peer, o.Address, answer.Version, Version)}
	}
	return nil
}

// dialError puts into words what went wrong before the peer had answered.
func (o *Opener) dialError(ctx context.Context, err error) error {
	var c *Cause
	if errors.As(err, &c) {
		return c
	}
	if ctx.Err() != nil {
		if errors.As(context.Cause(ctx), &c) {
			return c
		}
		return context.Cause(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // the context's is about to follow
		<-ctx.Done()
		return o.dialError(ctx, err)
	}
	// linkCause has the words for a broken connection.
	s := &Session{Info: Info{Peer: o.Peer, Address: o.Address}, host: o.Host, limits: o.Limits.withDefaults()}
	return s.linkCause("", err)
}
