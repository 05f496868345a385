package relay

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// spliceFlags: NONBLOCK is about the pipe only; the sockets are non-blocking
// themselves. MORE is never given, for it would hold back the last piece.
const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// splice moves src to dst through a pipe until src's end.
//
// It returns handled false when it could not begin; then no byte was taken from src, and the caller
// may copy instead. Otherwise the direction is over, and err says how.
func (r *run) splice(f *flow, from source, to sink) (handled bool, err *Error) {
	if from.socket == nil || to.socket == nil {
		return false, nil
	}
	p, perr := getPipe()
	if perr != nil {
		return false, nil
	}
	defer putPipe(p)
	room := func() (int, error) { return to.socket.Room(func() {}) }
	return r.passOn(f, p, from, to.side, room, func(n int) *Error {
		if err := fillFrom(p, to.socket, n, f); err != nil {
			return &Error{to.side, "write", to.socket.opError("splice", err)}
		}
		return nil
	})
}

// passOn moves from through p, which is empty, to where there is room and give puts
// n bytes of it, until from's end. It returns handled false as splice does.
func (r *run) passOn(f *flow, p *pipe, from source, to Side, room func() (int, error), give func(n int) *Error) (handled bool, err *Error) {
	began := false
	for {
		most, rerr := room()
		if rerr != nil {
			return true, &Error{to, "write", rerr}
		}
		n, rerr := drain(p, from.socket, f.piece(min(most, pipeSize)))
		if rerr == unix.EINVAL && !began {
			return false, nil
		}
		if rerr != nil {
			return true, &Error{from.side, "read", from.socket.opError("splice", rerr)}
		}
		if n == 0 {
			return true, nil
		}
		began = true
		ok, aerr := f.admit(r.ctx, n)
		if aerr != nil {
			return true, &Error{Here, "", aerr}
		}
		if err := give(ok); err != nil {
			return true, err
		}
		if ok < n {
			return true, &Error{Here, "", ErrByteLimit}
		}
	}
}

// drain moves up to n bytes from a socket into p, which is empty: so EAGAIN
// can only mean that the socket has nothing to read. 0 is the socket's end.
func drain(p *pipe, in *socket, n int) (got int, err error) {
	cerr := in.rc.Read(func(fd uintptr) bool {
		got, err = spliceOnce(int(fd), p.w, n)
		return err != unix.EAGAIN
	})
	if cerr != nil {
		return 0, cerr
	}
	p.data += got
	return got, err
}

// fillFrom moves n bytes, which p has, to a socket. EAGAIN can only mean that
// the socket takes no more at present.
func fillFrom(p *pipe, out *socket, n int, f *flow) (err error) {
	cerr := out.rc.Write(func(fd uintptr) bool {
		for n > 0 {
			var moved int
			moved, err = spliceOnce(p.r, int(fd), n)
			if err != nil {
				return err != unix.EAGAIN
			}
			p.data -= moved
			n -= moved
			f.count(moved)
		}
		return true
	})
	if cerr != nil {
		return cerr
	}
	return err
}

func spliceOnce(from, to, n int) (int, error) {
	for {
		got, err := unix.Splice(from, nil, to, nil, n, spliceFlags)
		if err != unix.EINTR {
			return int(max(got, 0)), err
		}
	}
}

// rawConn returns nil for all but the two socket types themselves: a type that
// embeds one may hold bytes of its own.
func rawConn(c net.Conn) syscall.RawConn {
	var rc syscall.RawConn
	var err error
	switch c := c.(type) {
	case *net.TCPConn:
		rc, err = c.SyscallConn()
	case *net.UnixConn:
		rc, err = c.SyscallConn()
	}
	if err != nil {
		return nil
	}
	return rc
}

func opError(op string, c net.Conn, err error) error {
	errno, ok := err.(syscall.Errno)
	switch {
	case !ok:
		return err // the net package's own
	case errno == unix.EAGAIN:
		err = os.ErrDeadlineExceeded
	default:
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Addr: c.RemoteAddr(), Err: err}
}
