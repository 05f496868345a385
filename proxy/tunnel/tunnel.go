package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/stream/relay"
)

// Tunnel is a listening tunnel.
type Tunnel struct {
	listener net.Listener
	target   chan net.Conn // holds what To has inherited until it is taken; nil without
	live     sync.WaitGroup
	now      atomic.Pointer[settings] // for the next connection

	mu     sync.Mutex
	counts counts
	cut    bool  // connections failed after the end of Serve's context
	last   error // of the connection after which there can be no other
}

// settings are what a connection goes by, from its beginning to its end.
type settings struct {
	*Tunnel
	opts   Options
	effect spec.Effect
	limits relay.Limits
	room   chan struct{} // holds a place of each connection
	former []int         // uids that may connect no longer; what they began before waits in the socket's queue

	replaced chan struct{} // closed once others are in use
}

// with checks options.
func (t *Tunnel) with(opts Options) (*settings, error) {
	effect, err := opts.check()
	if err != nil {
		return nil, err
	}
	if opts.Credentials == nil && effect.TLS() == spec.Yes {
		return nil, errors.New("there are no certificates for the side with TLS")
	}
	s := &settings{Tunnel: t, effect: effect, replaced: make(chan struct{})}
	if s.opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	s.room = make(chan struct{}, s.opts.Limits.Connections)
	s.limits.Send, s.limits.Receive = opts.Send, opts.Receive
	s.limits.Buffers = relay.NewBuffers(nil, buffers)
	if l := opts.Limits.Bandwidth; l > 0 {
		s.limits.Send = append(s.limits.Send[:len(s.limits.Send):len(s.limits.Send)], relay.NewLimiter(l))
		s.limits.Receive = append(s.limits.Receive[:len(s.limits.Receive):len(s.limits.Receive)], relay.NewLimiter(l))
	}
	return s, nil
}

// Listen checks the options and begins to listen. Inherited descriptors are
// taken over; nothing is left behind with an error but these.
func Listen(opts Options) (*Tunnel, error) {
	t := &Tunnel{counts: newCounts()}
	s, err := t.with(opts)
	if err != nil {
		return nil, err
	}
	t.now.Store(s)
	if opts.To.Kind == spec.FD {
		c, err := takeTarget(opts.To)
		if err != nil {
			return nil, err
		}
		t.target = make(chan net.Conn, 1)
		t.target <- c
	}
	if t.listener, err = opts.listen(); err != nil {
		t.dropTarget()
		return nil, err
	}
	return t, nil
}

// Change checks other options for a tunnel that listens at the same address. What it returns has
// connections go by them that come from then on; its error is of the user who may connect.
func (t *Tunnel) Change(opts Options) (take func() error, err error) {
	was := t.now.Load().opts
	if opts.Listen != was.Listen || opts.To.Kind == spec.FD || was.To.Kind == spec.FD {
		return nil, errors.New("that takes another tunnel")
	}
	s, err := t.with(opts)
	if err != nil {
		return nil, err
	}
	s.former = t.now.Load().former
	if u := was.SocketUser; u != nil && !slices.Contains(s.former, *u) {
		s.former = append(slices.Clip(s.former), *u)
	}
	return func() (err error) {
		if opts.Listen.Kind == spec.Unix && !reflect.DeepEqual(opts.SocketUser, was.SocketUser) {
			err = opts.letUser()
		}
		close(t.now.Swap(s).replaced)
		return err
	}, nil
}

func takeTarget(a spec.Address) (net.Conn, error) {
	in, out, err := a.Inherited()
	if err != nil {
		return nil, err
	}
	if in.Listen {
		return nil, fmt.Errorf("%s is a listening socket, which cannot be connected to", a)
	}
	return takeStream(a, in, out)
}

// dropTarget closes an inherited target that nobody has taken.
func (t *Tunnel) dropTarget() {
	select {
	case c := <-t.target:
		c.Close()
	default:
	}
}

// Address is where the tunnel listens, with the port that the kernel chose.
func (t *Tunnel) Address() spec.Address {
	listen := t.now.Load().opts.Listen
	if listen.Kind == spec.FD || listen.Kind == spec.Exec {
		return listen
	}
	return spec.Address{Kind: listen.Kind, At: t.listener.Addr().String()}
}

// Effect is which side has TLS, and why.
func (t *Tunnel) Effect() spec.Effect { return t.now.Load().effect }

// Close ends a tunnel that is not served.
func (t *Tunnel) Close() error {
	t.dropTarget()
	return t.listener.Close()
}

// StopAccepting closes the socket of a tunnel whose drain has been closed. When it returns the address
// is free, and its path removed.
func (t *Tunnel) StopAccepting() { t.listener.Close() }

// ErrCut: connections were still open when the tunnel was told to end at once.
var ErrCut = errors.New("connections were cut off")

// Serve accepts connections and relays them. After drain is closed it accepts no more, and returns
// when those that there are have ended; when ctx ends it resets them, and returns ErrCut if there
// were any. Where there can be but one connection, since one side is a command to listen to or an
// inherited stream, Serve returns at its end, with its error. The socket is closed, and every
// connection reported, when it returns.
func (t *Tunnel) Serve(ctx context.Context, drain <-chan struct{}) error {
	defer t.dropTarget()
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
	err := t.accept(ctx)
	t.live.Wait() // ctx resets them
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return ErrCut
	}
	return errors.Join(err, t.last)
}

// accept returns an error where there is nothing more to accept because of it.
func (t *Tunnel) accept(ctx context.Context) error {
	handshakes := make(chan struct{}, maxHandshakes)
	for number := int64(1); ; {
		// A place is taken before the connection is, so that none is held without.
		s := t.now.Load()
		select {
		case s.room <- struct{}{}:
		case <-s.replaced:
			continue
		case <-ctx.Done():
			return nil
		}
		select {
		case handshakes <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		in, err := t.next(ctx)
		if err != nil || in == nil {
			return err
		}
		room := s.room
		s = t.now.Load() // others may have come before the connection
		if err := s.allows(in); err != nil {
			in.Close()
			<-handshakes
			<-room
			if s.opts.Trouble != nil {
				s.opts.Trouble(err)
			}
			continue
		}
		live := s.begin(number, s.from(in))
		t.live.Go(func() {
			defer func() { <-room }()
			r := s.carry(ctx, in, live, sync.OnceFunc(func() { <-handshakes }))
			t.end(live, &r, ctx.Err() != nil)
			if s.opts.Ended != nil {
				s.opts.Ended(r)
			}
		})
		number++
	}
}

// allows says why a connection is not carried: who made it may connect no longer.
func (s *settings) allows(in net.Conn) error {
	if len(s.former) == 0 {
		return nil
	}
	uid, err := sockets.PeerUID(in)
	if err != nil {
		return err
	}
	now := []int{0, os.Geteuid()}
	if u := s.opts.SocketUser; u != nil {
		now = append(now, *u)
	}
	if !slices.Contains(s.former, uid) || slices.Contains(now, uid) {
		return nil
	}
	return fmt.Errorf("uid %d may no longer connect to %s", uid, s.opts.Listen)
}

// next is the next connection; nil when there will be none.
func (t *Tunnel) next(ctx context.Context) (net.Conn, error) {
	for {
		in, err := t.listener.Accept()
		if err == nil {
			return in, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, nil
		}
		if t.single() {
			return nil, err
		}
		// Out of descriptors, most likely; connections wait meanwhile.
		if trouble := t.now.Load().opts.Trouble; trouble != nil {
			trouble(err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// single reports whether all that can come is one connection.
func (t *Tunnel) single() bool {
	_, one := t.listener.(*once)
	return one
}
