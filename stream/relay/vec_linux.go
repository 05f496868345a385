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

// iovecs are pieces of memory as the kernel takes them. The array is made once
// for each direction.
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

// call is readv or writev.
func (v iovecs) call(trap uintptr, fd int) (int, error) {
	for {
		n, _, errno := unix.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func total(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}
