package relay

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// Metered is a peer's side of a channel whose owner reads and writes the bytes
// himself, where more is to be done with them than Run does: it counts them,
// and holds to limits, as Run would. One goroutine may read while others write.
//
// The first failure, or the end of the context, resets the connection and is
// told. Errors of Read and Write are *Error, but for io.EOF.
type Metered struct {
	net.Conn // deadlines and addresses
	remote   Conn
	opts     MeteredOptions
	ctx      context.Context // ends with the first failure
	cancel   context.CancelCauseFunc
	stop     func() bool // lets the context go

	sent, received flow

	mu     sync.Mutex
	whole  bool // the peer's stream has ended in order
	closed bool
	err    *Error // the first
	ended  sync.Once
}

// MeteredOptions of a Metered. The zero value limits nothing and tells nobody.
type MeteredOptions struct {
	Limits   Limits
	Counters *Counters // may be nil; added to with each Read and Write
	// Ended, if set, is called once when the connection fails, with an *Error,
	// or is closed by its owner, with nil. It must not wait.
	Ended func(error)
}

// Meter makes remote the owner's until ctx ends, and removes its deadlines.
func Meter(ctx context.Context, remote Conn, opts MeteredOptions) *Metered {
	m := &Metered{Conn: remote, remote: remote, opts: opts}
	if c, ok := remote.(*recordConn); ok {
		c.SetWorkers(1)
		c.SetShare(opts.Limits.Buffers)
		if s := newRawSocket(c.NetConn()); s != nil {
			c.Over(s)
		}
	}
	m.sent.limit(opts.Limits.Send, opts.Limits.Budget)
	m.received.limit(opts.Limits.Receive, opts.Limits.Budget)
	if c := opts.Counters; c != nil {
		m.sent.shared, m.received.shared = &c.Sent, &c.Received
	}
	remote.SetDeadline(time.Time{})
	m.ctx, m.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	m.stop = context.AfterFunc(ctx, func() { m.fail(&Error{Here, "", context.Cause(ctx)}) })
	return m
}

// Read returns io.EOF when the peer has ended its direction in order.
func (m *Metered) Read(p []byte) (int, error) {
	n, err := m.remote.Read(p)
	if e := m.pass(&m.received, n, func(int) *Error { return nil }); e != nil {
		return 0, m.fail(e)
	}
	switch {
	case n > 0 || err == nil:
		return n, nil // an error comes again
	case err == io.EOF:
		m.mu.Lock()
		m.whole = true
		m.mu.Unlock()
		return 0, io.EOF
	}
	return 0, m.fail(&Error{Remote, "read", err})
}

// Write writes all of p.
func (m *Metered) Write(p []byte) (n int, err error) {
	e := m.pass(&m.sent, len(p), func(some int) *Error {
		wrote, err := m.remote.Write(p[n : n+some])
		if n += wrote; err != nil {
			return &Error{Remote, "write", err}
		}
		return nil
	})
	if e != nil {
		return n, m.fail(e)
	}
	return n, nil
}

// pass has n bytes of a direction moved, as many at once as its limits allow.
func (m *Metered) pass(f *flow, n int, move func(some int) *Error) *Error {
	for n > 0 {
		some, err := f.admit(m.ctx, f.piece(n))
		if err != nil {
			return &Error{Here, "", err}
		}
		if err := move(some); err != nil {
			return err
		}
		f.count(some)
		n -= some
	}
	return nil
}

// CloseWrite ends this direction in order.
func (m *Metered) CloseWrite() error {
	if err := m.remote.CloseWrite(); err != nil {
		return m.fail(&Error{Remote, "write", err})
	}
	return nil
}

// fail keeps the first failure, makes everybody return who is blocked, and
// returns what failed first.
func (m *Metered) fail(err *Error) error {
	m.mu.Lock()
	if m.err == nil && m.closed {
		m.err = &Error{Here, "", net.ErrClosed}
	}
	if m.err != nil {
		defer m.mu.Unlock()
		return m.err
	}
	m.err = err
	m.mu.Unlock()
	m.cancel(err)
	m.end() // before anyone is there to ask why
	Reset(m.remote)
	return err
}

// Close ends the connection: in order if the peer has said all, and otherwise
// so that the peer can't take it for the end of the stream.
func (m *Metered) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return net.ErrClosed
	}
	m.closed = true
	orderly := m.whole && m.err == nil
	m.mu.Unlock()
	m.stop()
	m.cancel(net.ErrClosed)
	if !orderly {
		Reset(m.remote)
	}
	err := m.remote.Close()
	m.end()
	return err
}

func (m *Metered) end() {
	m.ended.Do(func() {
		m.mu.Lock()
		err := m.err
		m.mu.Unlock()
		switch {
		case m.opts.Ended == nil:
		case err == nil:
			m.opts.Ended(nil)
		default:
			m.opts.Ended(err)
		}
	})
}
