package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options of a run. The zero value limits nothing.
type Options struct {
	Limits   Limits
	Counters *Counters // may be nil; added to while the relay runs

	// LocalGone, if set, is told that the local application has closed its
	// socket with bytes under way. The direction then ends as if in order, and what
	// still comes for the application is thrown away:
	// for callers who learn elsewhere whether the application had done its work.
	// It must not wait.
	LocalGone func(*Error)
	// IgnoreUnexpectedEOF takes a TCP end without close_notify for an orderly one,
	// as OpenSSL's option of that name does: for peers whose program has its own
	// way to tell that a stream is complete, and sends none.
	IgnoreUnexpectedEOF bool
	// DeadLink ends the run when a TCP connection has had bytes on their way for so long, or up to
	// a quarter longer, and its other end gives no sign. Zero leaves that to the kernel.
	DeadLink time.Duration
	// Workers is how many goroutines of each direction encrypt or decrypt what there is at once, on
	// the records path. 1 is the direction's own; 0 a quarter of the processors, at most 4.
	Workers int
}

// Result is how a run ended.
type Result struct {
	Sent, Received int64 // plain bytes of this run
	Path           Path
	// Err is nil when both directions ended in order, and an *Error otherwise.
	Err error
}

// Run relays between local and remote until both directions have ended, and closes both. Deadlines
// set on them are removed. The first failure of either direction, or the end of ctx, ends the whole
// at once: both sockets are reset, and whoever is blocked in them or in a limiter returns.
//
// local is Run's alone from now on: closing it or setting deadlines on it need
// not have an effect. Closing remote ends the run, with net.ErrClosed.
func Run(ctx context.Context, local net.Conn, remote Conn, opts Options) Result {
	r := &run{local: local, remote: remote, share: opts.Limits.Buffers}
	r.localGone, r.ignoreEOF = opts.LocalGone, opts.IgnoreUnexpectedEOF
	for i, c := range []net.Conn{local, carrier(remote)} {
		r.ends[i], r.sockets[i] = conn{c}, newSocket(c)
	}
	r.ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer r.cancel(nil)
	r.sent.limit(opts.Limits.Send, opts.Limits.Budget)
	r.received.limit(opts.Limits.Receive, opts.Limits.Budget)
	switch c := remote.(type) {
	case *recordConn:
		c.SetWorkers(opts.Workers)
		c.SetShare(r.share)
		r.records = newRecordRelay(c, local, r)
	case *tlsConn:
		c.transport.Grow(r.share)
	}
	if c := opts.Counters; c != nil {
		r.sent.shared, r.received.shared, r.localEnded = &c.Sent, &c.Received, &c.LocalEnded
	}

	if c, ok := remote.(interface{ enter(*run) }); ok {
		c.enter(r)
	}
	// Deadlines were for the frames before the stream.
	local.SetDeadline(time.Time{})
	remote.SetDeadline(time.Time{})

	var stopped sync.WaitGroup
	stopped.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer stopped.Done()
		r.fail(&Error{Here, "", context.Cause(ctx)})
	})
	if _, ok := local.(halfCloser); !ok {
		r.fail(&Error{Local, "write", fmt.Errorf("%T can't be closed for writing alone", local)})
	}
	// The context ends both directions: it is let go when both have ended, not when the first has.
	var directions sync.WaitGroup
	watching, watched := context.WithCancel(r.ctx)
	if opts.DeadLink > 0 {
		stopped.Go(func() { r.watchLinks(watching, opts.DeadLink) })
	}
	directions.Go(r.receive)
	r.send()
	directions.Wait()
	watched()
	if stop() {
		stopped.Done()
	}
	stopped.Wait()
	r.close()

	res := Result{Sent: r.sent.total.Load(), Received: r.received.total.Load(), Path: remote.Path()}
	if r.copied.Load() {
		res.Path = Copy
	}
	if r.err != nil {
		res.Err = r.err
	}
	return res
}

// run is one relay at work: a goroutine for each direction.
type run struct {
	ctx            context.Context // ends with the first failure
	cancel         context.CancelCauseFunc
	local          net.Conn
	remote         Conn
	sockets        [2]*socket   // local and remote; nil for what is no plain socket
	records        *recordRelay // where the peer is a recordConn
	share          *Buffers
	sent, received flow
	localGone      func(*Error)
	localEnded     *atomic.Bool // may be nil
	ignoreEOF      bool
	ended          atomic.Bool // our direction: the peer has all, and is being told
	copied         atomic.Bool // a plain hop that could not be spliced

	mu   sync.Mutex
	ends [2]end // the sockets, local first
	err  *Error // the first
	done int    // directions that ended in order
}

// fail keeps the first failure and ends everything that may be blocked. It
// reports no failure after both directions have ended in order.
func (r *run) fail(err *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.done == 2 {
		return
	}
	r.err = err
	r.cancel(err) // first, so that nobody takes what follows for a stream's end
	for _, e := range r.ends {
		e.reset()
	}
}

// end is a socket as it is ended.
type end interface {
	CloseWrite() error
	reset() // makes whoever is blocked in it return; its other end must see a failure
	close() // after all have returned
}

type conn struct{ net.Conn }

func (c conn) CloseWrite() error { return closeWrite(c.Conn) }
func (c conn) reset()            { Reset(c.Conn) }
func (c conn) close()            { c.Close() }

// over takes the outcome of one direction.
func (r *run) over(err *Error) {
	if err != nil {
		r.fail(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.done++
	}
}

// close ends the sockets after both directions, once more after a failure.
func (r *run) close() {
	for _, e := range r.ends {
		e.close()
	}
	switch c := r.remote.(type) {
	case *recordConn:
		r.records.release()
	case *tlsConn:
		c.release()
	}
}

// goneIsEnd turns the local application's going away into the end of a direction,
// where the caller has asked for that.
func (r *run) goneIsEnd(err *Error) *Error {
	if err == nil || err.Side != Local || r.localGone == nil || r.ctx.Err() != nil || !isGone(err.Err) {
		return err
	}
	r.localGone(err)
	return nil
}

// eofIsEnd turns an end without close_notify into one in order, where the caller has
// asked for that. A peer that closes its socket with our close_notify unread
// resets the connection, which then is no more than an end.
func (r *run) eofIsEnd(err *Error) *Error {
	switch {
	case err == nil || !r.ignoreEOF:
		return err
	case errors.Is(err.Err, ErrTruncated):
		return nil
	case err.Side == Remote && r.ended.Load() && isGone(err.Err):
		return nil
	}
	return err
}

// isGone reports whether the other end of a socket was closed.
func isGone(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN)
}

// send moves the local stream to the peer, and its end after it.
func (r *run) send() {
	err := r.eofIsEnd(r.goneIsEnd(r.sendBytes()))
	if err == nil && r.ctx.Err() == nil {
		if r.localEnded != nil {
			r.localEnded.Store(true)
		}
		if err = r.delivered(); err == nil {
			r.ended.Store(true)
			if cerr := r.remote.CloseWrite(); cerr != nil {
				err = r.eofIsEnd(&Error{Remote, "write", cerr})
			}
		}
	}
	r.over(err)
}

// delivered waits until the peer has all that was sent, where it may reset the
// connection once it is told of the end: only so can that be told from a loss.
// What a reset acknowledges the kernel doesn't say.
func (r *run) delivered() *Error {
	s := r.sockets[1]
	if !r.ignoreEOF || s == nil {
		return nil
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		done, err := s.delivered()
		if err != nil {
			return &Error{Remote, "write", err}
		}
		if done {
			return nil
		}
		if err := sleep(r.ctx, pause); err != nil {
			return &Error{Here, "", err}
		}
	}
}

func (r *run) sendBytes() *Error {
	switch c := r.remote.(type) {
	case *recordConn:
		return r.records.send(r.ctx, &r.sent)
	case *tlsConn:
		return r.pump(&r.sent, source{Local, r.local, r.sockets[0]}, sink{Remote, c, r.sockets[1]})
	}
	return r.move(&r.sent, source{Local, r.local, r.sockets[0]}, sink{Remote, carrier(r.remote), r.sockets[1]})
}

// move moves the bytes of a direction as they are.
func (r *run) move(f *flow, from source, to sink) *Error {
	if handled, err := r.splice(f, from, to); handled {
		return err
	}
	if _, ok := r.remote.(*plainConn); ok {
		r.copied.Store(true)
	}
	return r.pump(f, from, to)
}

// discard reads the rest of a stream for which nobody is left. Closing with it
// unread would reset the peer's connection, and its end look like a failure.
func (r *run) discard() *Error {
	var err error
	for err == nil {
		if c, ok := r.remote.(*recordConn); ok {
			_, err = c.Receive()
		} else {
			_, err = io.Copy(io.Discard, onlyReader{r.remote})
			if err == nil {
				err = io.EOF
			}
		}
	}
	if err == io.EOF {
		return nil
	}
	return &Error{Remote, "read", err}
}

// onlyReader hides what io.Copy would use in place of Read.
type onlyReader struct{ io.Reader }

// receive moves the peer's stream to the local socket, and its end after it.
func (r *run) receive() {
	err := r.eofIsEnd(r.receiveBytes())
	if err != nil && r.goneIsEnd(err) == nil {
		err = r.discard()
	}
	if err == nil && r.ctx.Err() == nil {
		if cerr := r.ends[0].CloseWrite(); cerr != nil {
			err = r.goneIsEnd(&Error{Local, "write", cerr})
		}
	}
	r.over(err)
}

func (r *run) receiveBytes() *Error {
	switch c := r.remote.(type) {
	case *recordConn:
		return r.records.receive(r.ctx, &r.received)
	case *tlsConn:
		// Records that have arrived together leave in one write.
		return r.pump(&r.received, source{Remote, &gather{c: c}, r.sockets[1]}, sink{Local, r.local, r.sockets[0]})
	}
	return r.move(&r.received, source{Remote, carrier(r.remote), r.sockets[1]}, sink{Local, r.local, r.sockets[0]})
}

// carrier is what carries a Conn. Closing that, and not the tls.Conn, neither
// waits for a frozen peer nor tells it that all is well.
func carrier(c Conn) net.Conn {
	switch c := c.(type) {
	case *plainConn:
		return c.Conn
	case *recordConn:
		return c.NetConn()
	case *tlsConn:
		return c.Conn
	}
	return c
}
