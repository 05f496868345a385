package stream

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

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
