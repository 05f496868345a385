package tunnel

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Tunnel is a listening tunnel.
type Tunnel struct {
	opts     Options
	listener net.Listener
	live     sync.WaitGroup
	cut      atomic.Bool // a connection has failed once ctx had ended
}

// Listen checks the options and begins to listen. Nothing is left behind with
// an error.
func Listen(opts Options) (*Tunnel, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	if opts.Credentials == nil && (opts.Listen.Kind == TLS || opts.To.Kind == TLS) {
		return nil, errors.New("there are no certificates for the side with TLS")
	}
	l, err := listen(opts.Listen)
	if err != nil {
		return nil, err
	}
	return &Tunnel{opts: opts.withDefaults(), listener: l}, nil
}

// Address is where the tunnel listens, with the port that the kernel chose.
func (t *Tunnel) Address() Address {
	return Address{t.opts.Listen.Kind, t.listener.Addr().String()}
}

// Close ends a tunnel that is not served.
func (t *Tunnel) Close() error { return t.listener.Close() }

// ErrCut: connections were still open when the tunnel was told to end at once.
var ErrCut = errors.New("connections were cut off")

// Serve accepts connections and relays them. After drain is closed it accepts
// no more, and returns when those that there are have ended; when ctx ends it
// resets them, and returns ErrCut if there were any. The socket is closed, and
// every connection reported, when it returns.
func (t *Tunnel) Serve(ctx context.Context, drain <-chan struct{}) error {
	defer t.listener.Close()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-ctx.Done():
		case <-drain:
		case <-over:
		}
		t.listener.Close()
	}()
	t.accept(ctx)
	t.live.Wait()
	if t.cut.Load() {
		return ErrCut
	}
	return nil
}

func (t *Tunnel) accept(ctx context.Context) {
	room := make(chan struct{}, t.opts.Connections)
	handshakes := make(chan struct{}, maxHandshakes)
	for number := int64(1); ; number++ {
		// A place is taken before the connection is, so that none is held without.
		for _, limit := range []chan struct{}{room, handshakes} {
			select {
			case limit <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		in, err := t.listener.Accept()
		for err != nil && !errors.Is(err, net.ErrClosed) {
			// Out of descriptors, most likely; connections wait meanwhile.
			if t.opts.Trouble != nil {
				t.opts.Trouble(err)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			in, err = t.listener.Accept()
		}
		if err != nil {
			return
		}
		t.live.Go(func() {
			defer func() { <-room }()
			begun := time.Now()
			r := t.carry(ctx, in, sync.OnceFunc(func() { <-handshakes }))
			r.Number, r.Took = number, time.Since(begun)
			if r.Err != nil && ctx.Err() != nil {
				t.cut.Store(true)
			}
			if t.opts.Ended != nil {
				t.opts.Ended(r)
			}
		})
	}
}
