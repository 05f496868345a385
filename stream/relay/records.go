package relay

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"

	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/record"
)

// recordConn is a peer on the records path.
//
// It holds about 40 KiB when idle, a record for each direction, and borrows up
// to half a megabyte for each direction that moves much.
type recordConn struct {
	*record.Conn
	running
	plan     plan
	inKernel atomic.Bool // a direction at least
}

func (c *recordConn) Close() error {
	if c.stop() {
		return nil
	}
	return c.Conn.Close()
}

func (c *recordConn) Path() Path {
	if c.inKernel.Load() {
		return KTLS
	}
	return Records
}

func (c *recordConn) ConnectionState() (tls.ConnectionState, bool) {
	return c.Conn.ConnectionState(), true
}

// recordRelay is a run on the records path.
type recordRelay struct {
	*recordConn
	local   vector
	blocker blocker
	lines   [2]*line // local, remote; nil where it isn't a plain socket

	kernel   *kernel // nil: does nothing of it
	receiver *ktls.Receiver
}

func newRecordRelay(c *recordConn, local net.Conn) *recordRelay {
	r := &recordRelay{recordConn: c, local: scalar{local}}
	if r.kernel = newKernel(c, local); r.kernel != nil {
		// In the poller for good: a direction that the kernel does waits there.
		r.local = newLine(local)
		r.blocker.state.Store(1)
		return r
	}
	if l := newLine(local); l != nil {
		r.local, r.lines[0] = l, l
		// To end a blocked system call one has to shut the socket down, and a TCP
		// application could take the FIN for the stream's end. The peer can't, for
		// it waits for close_notify; on a unix socket any end looks the same.
		if _, ok := local.(*net.UnixConn); ok {
			r.blocker.lines = append(r.blocker.lines, l)
		}
	}
	if l := newLine(c.NetConn()); l != nil {
		c.Over(l)
		r.lines[1] = l
		r.blocker.lines = append(r.blocker.lines, l)
	}
	return r
}

// use makes the lines what ends a run.
func (r *recordRelay) use(ends *[2]end) {
	for i, l := range r.lines {
		if l != nil {
			ends[i] = l
		}
	}
	if r.kernel != nil {
		ends[1] = r.kernel
	}
}

// release is called when both directions have ended.
func (r *recordRelay) release() {
	r.blocker.release()
	if r.kernel != nil {
		r.kernel.release()
	}
	r.Release()
}

// send moves the local stream to the peer until its end: it is read into the
// places where it is sealed.
func (r *recordRelay) send(ctx context.Context, f *flow) *Error {
	if r.kernel != nil && r.kernel.sender != nil {
		return r.spliceOut(ctx, f)
	}
	var b record.Batch
	defer b.Release()
	for {
		n, err := r.local.Readv(&b, f.piece(b.Room()))
		if err == io.EOF || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return &Error{Local, "read", err}
		}
		ok, err := f.admit(ctx, n)
		if err != nil {
			return &Error{Here, "", err}
		}
		if err := r.Send(&b, ok); err != nil {
			return &Error{Remote, "write", err}
		}
		f.count(ok)
		if ok < n {
			return &Error{Here, "", ErrByteLimit}
		}
		b.Sent(n)
		r.blocker.moved(n)
	}
}

// receive moves the peer's stream to the local socket until its end: it is
// written from the places where it was opened.
func (r *recordRelay) receive(ctx context.Context, f *flow) *Error {
	for {
		if r.handOver() {
			return r.spliceIn(ctx, f)
		}
		plain, err := r.Receive()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &Error{Remote, "read", err}
		}
		all := total(plain)
		if err := r.deliver(ctx, f, plain, all); err != nil {
			return err
		}
		r.blocker.moved(all)
	}
}

// deliver writes n plain bytes to the local socket.
func (r *recordRelay) deliver(ctx context.Context, f *flow, plain [][]byte, n int) *Error {
	for n > 0 {
		ok, err := f.admit(ctx, f.piece(n))
		if err != nil {
			return &Error{Here, "", err}
		}
		var now [][]byte
		now, plain = cut(plain, ok)
		wrote, err := r.local.Writev(now)
		f.count(wrote)
		if err != nil {
			return &Error{Local, "write", err}
		}
		n -= ok
	}
	return nil
}

// cut divides bufs after n bytes. It may change bufs.
func cut(bufs [][]byte, n int) (head, tail [][]byte) {
	for i, b := range bufs {
		if n < len(b) {
			if n == 0 {
				return bufs[:i], bufs[i:]
			}
			tail = append([][]byte{b[n:]}, bufs[i+1:]...)
			bufs[i] = b[:n]
			return bufs[:i+1], tail
		}
		n -= len(b)
	}
	return bufs, nil
}
