package relay

import (
	"context"
	"crypto/tls"
	"io"

	"github.com/virt-sluice/sluice/stream/record"
)

// recordConn is a peer on the records path.
//
// It holds about 40 KiB when idle, a record for each direction, and borrows up
// to a megabyte for each direction that moves much.
type recordConn struct{ *record.Conn }

func (c *recordConn) Path() Path { return Records }

func (c *recordConn) ConnectionState() (tls.ConnectionState, bool) {
	return c.Conn.ConnectionState(), true
}

// send moves the local stream to the peer until its end: it is read into the
// places where it is sealed.
func (c *recordConn) send(ctx context.Context, local vector, f *flow) *Error {
	var b record.Batch
	defer b.Release()
	for {
		n, err := local.Readv(b.Spaces(), f.piece(b.Room()))
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
		if err := c.Send(&b, ok); err != nil {
			return &Error{Remote, "write", err}
		}
		f.count(ok)
		if ok < n {
			return &Error{Here, "", ErrByteLimit}
		}
		b.Sent(n)
	}
}

// receive moves the peer's stream to the local socket until its end: it is
// written from the places where it was opened.
func (c *recordConn) receive(ctx context.Context, local vector, f *flow) *Error {
	for {
		plain, err := c.Receive()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &Error{Remote, "read", err}
		}
		for n := total(plain); n > 0; {
			ok, err := f.admit(ctx, f.piece(n))
			if err != nil {
				return &Error{Here, "", err}
			}
			var now [][]byte
			now, plain = cut(plain, ok)
			wrote, err := local.Writev(now)
			f.count(wrote)
			if err != nil {
				return &Error{Local, "write", err}
			}
			n -= ok
		}
	}
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
