package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// noSluice says that no sluice is where the peer's should be: nothing listens
// there, or what does has the peer's certificate and speaks another protocol.
// Silence says no such thing, and neither does a certificate that is not the
// peer's.
type noSluice struct{ *stream.Cause }

func (n *noSluice) Unwrap() error { return n.Cause }

// and is the cause with what follows from it.
func (n *noSluice) and(format string, args ...any) *stream.Cause {
	c := *n.Cause
	c.Text += "; " + fmt.Sprintf(format, args...)
	return &c
}

// openOrNone opens a session with o's peer. That there is no sluice is also
// told by none.
func openOrNone(ctx context.Context, o *stream.Opener, info stream.Info) (s *stream.Session, none *noSluice, err error) {
	dial := o.Dial
	var seen atomic.Pointer[noSluice] // channels dial too, from other goroutines
	o.Dial = func(ctx context.Context, clear bool) (relay.Conn, error) {
		c, err := dial(ctx, clear)
		if n := (*noSluice)(nil); errors.As(err, &n) {
			seen.Store(n)
		}
		return c, err
	}
	s, err = o.Open(ctx, info)
	return s, seen.Load(), err
}
