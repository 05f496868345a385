package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// NoSluiceError says that no sluice is where the peer's should be: nothing listens there, or what
// does has the peer's certificate and speaks another protocol. Silence says no such thing, and
// neither does a certificate that is not the peer's.
type NoSluiceError struct{ *stream.Cause }

func (n *NoSluiceError) Unwrap() error { return n.Cause }

// And is the cause with what follows from it.
func (n *NoSluiceError) And(format string, args ...any) *stream.Cause {
	c := *n.Cause
	c.Text += "; " + fmt.Sprintf(format, args...)
	return &c
}

// LookAgain looks for p's sluice at the host of an address, HOST:PORT, at which another program has
// shown p's certificate, and remembers one that it finds (SluiceSeen). That nothing listens where
// p's name leads to may be the doing of the name service.
func (s *Set) LookAgain(ctx context.Context, p *Peer, address string) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return
	}
	_, port, err := net.SplitHostPort(p.Conf.Address)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.Config.Limits.HandshakeTimeout)
	defer cancel()
	if c, err := s.dial(ctx, p, net.JoinHostPort(host, port), ""); err == nil {
		c.Close()
	}
}

// Open opens a session with o's peer. That there is no sluice is also told by none.
func Open(ctx context.Context, o *stream.Opener, info stream.Info) (s *stream.Session, none *NoSluiceError, err error) {
	dial := o.Dial
	var seen atomic.Pointer[NoSluiceError] // channels dial too, from other goroutines
	o.Dial = func(ctx context.Context, session string, clear bool) (relay.Conn, error) {
		c, err := dial(ctx, session, clear)
		if n := (*NoSluiceError)(nil); errors.As(err, &n) {
			seen.Store(n)
		}
		return c, err
	}
	s, err = o.Open(ctx, info)
	return s, seen.Load(), err
}
