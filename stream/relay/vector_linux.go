package relay

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vector reads into and writes from many pieces of memory with as few system
// calls as it can. One goroutine may read while another writes.
type vector interface {
	// Readv fills the spaces in order with up to n bytes. 0 is the end. While it
	// waits the memory is idle.
	Readv(into spaces, n int) (int, error)
	// Writev writes all, or returns what it wrote and why not more.
	Writev(bufs [][]byte) (int, error)
}

// spaces are memory to read into: a record.Batch's.
type spaces interface {
	Spaces() [][]byte
	Idle()
}

// scalar does without vectors, on whatever is a net.Conn.
type scalar struct{ net.Conn }

func (s scalar) Readv(into spaces, n int) (int, error) {
	space := into.Spaces()[0]
	return s.Read(space[:min(n, len(space))])
}

func (s scalar) Writev(bufs [][]byte) (wrote int, err error) {
	for _, b := range bufs {
		n, err := s.Write(b)
		wrote += n
		if err != nil {
			return wrote, err
		}
	}
	return wrote, nil
}

// maxIovecs is the kernel's UIO_MAXIOV.
const maxIovecs = 1024

// iovecs are pieces of memory as the kernel takes them. The array is made once for each direction.
type iovecs []unix.Iovec

// set makes v the first n bytes of bufs.
func (v *iovecs) set(bufs [][]byte, n int) {
	*v = (*v)[:0]
	for _, b := range bufs {
		if n <= 0 || len(*v) == maxIovecs {
			return
		}
		b = b[:min(n, len(b))]
		n -= len(b)
		var io unix.Iovec
		io.Base = unsafe.SliceData(b)
		io.SetLen(len(b))
		*v = append(*v, io)
	}
}

// skip drops the first n bytes.
func (v *iovecs) skip(n int) {
	for n > 0 {
		io := &(*v)[0]
		if uint64(n) < uint64(io.Len) {
			io.Base = (*byte)(unsafe.Add(unsafe.Pointer(io.Base), n))
			io.SetLen(int(io.Len) - n)
			return
		}
		n -= int(io.Len)
		*v = (*v)[1:]
	}
}

// littleMove is what a batch has room for while little moves, and more.
const littleMove = 32 << 10

// size is how many bytes the pieces are.
func (v iovecs) size() (n int) {
	for i := range v {
		n += int(v[i].Len)
	}
	return n
}

// call is recvmsg or sendmsg. It never waits: no flag of the socket's can make
// it, which others may have, and set.
//
// Telling Go's scheduler of it is of use only for what else that does; see transfer.
func (v iovecs) call(trap uintptr, fd int, raw bool) (int, error) {
	msg := unix.Msghdr{Iov: unsafe.SliceData(v)}
	msg.SetIovlen(len(v))
	call := unix.RawSyscall
	if !raw && v.size() <= littleMove {
		call = unix.Syscall
	}
	for {
		n, _, errno := call(trap, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// transfer is one direction's reading or writing: what is called when the socket
// may be ready, until it reports that it is done. Nothing is allocated for each.
type transfer struct {
	f func(fd uintptr) bool // read or write

	n   int // read: at most; then what was moved
	err error

	// raw: Go's scheduler is told of no call. Being told wakes the runtime's monitor thread where
	// the process was idle, at a cost. But for a while that thread's timer then keeps the processor
	// from halting, on a machine that has nothing else to do, and what comes next is taken up
	// sooner: worth it for small messages, which somebody awaits (bench/NOTES.md).
	raw bool

	permit *permit    // read: the direction's
	gives  [2]*permit // write: given back before it waits

	io   iovecs
	into spaces // read: where to
	rest iovecs // write: of io
}

func (t *transfer) read(fd uintptr) bool {
	t.permit.take(t.into.Idle)
	t.io.set(t.into.Spaces(), t.n)
	n, err := t.io.call(unix.SYS_RECVMSG, int(fd), t.raw)
	if err == unix.EAGAIN {
		t.permit.give()
		t.into.Idle()
		return false
	}
	t.n, t.err = n, err
	return true
}

func (t *transfer) write(fd uintptr) bool {
	for t.err = nil; len(t.rest) > 0 && t.err == nil; {
		var n int
		n, t.err = t.rest.call(unix.SYS_SENDMSG, int(fd), t.raw)
		t.n += n
		t.rest.skip(n)
	}
	if t.err != unix.EAGAIN {
		return true
	}
	for _, p := range t.gives {
		p.give()
	}
	return false
}

func total(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}
