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
	run     *run
	sockets [2]*socket // the run's
	local   vector
	batch   record.Batch // of what is sent

	sending, receiving permit

	kernel   *kernel // nil: does nothing of it
	receiver *ktls.Receiver
}

func newRecordRelay(c *recordConn, local net.Conn, run *run) *recordRelay {
	r := &recordRelay{recordConn: c, run: run, sockets: run.sockets, local: scalar{local}}
	r.batch.Share, r.batch.Fixed = run.share, true
	if r.sockets[0] != nil {
		r.local, r.batch.Fixed = r.sockets[0], false
	}
	if r.kernel = newKernel(c, r.sockets[0]); r.kernel != nil {
		run.ends[1] = r.kernel
		return r
	}
	if s := r.sockets[1]; s != nil {
		c.Over(s)
		r.takePermits()
	}
	return r
}

// takePermits has those directions take permits in which nothing waits but the sockets: a limited
// one uses little of a processor.
func (r *recordRelay) takePermits() {
	local, remote := r.sockets[0], r.sockets[1]
	if local == nil {
		return
	}
	r.sending.ended, r.receiving.ended = r.run.ctx.Done(), r.run.ctx.Done()
	if len(r.run.sent.turns) == 0 {
		local.in.permit = &r.sending
		r.batch.BeforeWait = r.sending.give
	}
	if len(r.run.received.turns) == 0 {
		remote.in.permit = &r.receiving
	}
	// The receiving direction, too, sends records to the peer: alerts.
	local.out.gives[0], remote.out.gives = &r.receiving, [2]*permit{&r.sending, &r.receiving}
}

// release is called when both directions have ended.
func (r *recordRelay) release() {
	if r.kernel != nil {
		r.kernel.release()
	}
	r.Release()
}

// send moves the local stream to the peer until its end: it is read into the
// places where it is sealed.
func (r *recordRelay) send(ctx context.Context, f *flow) *Error {
	if r.kernel != nil && r.kernel.sender != nil {
		return r.spliceOut(f)
	}
	b := &r.batch
	defer b.Release()
	defer r.sending.next(false)
	for {
		r.sending.next(b.Grown())
		most, err := r.roomToSend()
		if err != nil {
			return &Error{Remote, "write", err}
		}
		n, err := r.local.Readv(b, f.piece(min(b.Room(), most)))
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
		if err := r.Send(b, ok); err != nil {
			return &Error{Remote, "write", err}
		}
		f.count(ok)
		if ok < n {
			return &Error{Here, "", ErrByteLimit}
		}
		b.Sent(n)
		r.sending.moved(n)
	}
}

// roomToSend waits until the peer's socket takes bytes.
func (r *recordRelay) roomToSend() (n int, err error) {
	err = r.BeforeSend(func() error {
		n, err = r.sockets[1].Room(r.batch.Idle)
		return err
	})
	return n, err
}

// receive moves the peer's stream to the local socket until its end: it is
// written from the places where it was opened.
func (r *recordRelay) receive(ctx context.Context, f *flow) *Error {
	defer r.receiving.next(false)
	for {
		r.receiving.next(r.Grown())
		if r.handOver() {
			return r.spliceIn(ctx, f)
		}
		most, err := r.sockets[0].Room(r.Idle)
		if err != nil {
			return &Error{Local, "write", err}
		}
		plain, err := r.ReceiveUpTo(most)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &Error{Remote, "read", err}
		}
		n := total(plain)
		if err := r.deliver(ctx, f, plain, n); err != nil {
			return err
		}
		r.receiving.moved(n)
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
