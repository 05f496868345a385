package bench

import (
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/gcm"
)

// The loop is the plainest way to carry records through user space: a thread for each direction
// reads, seals or opens in place, and writes, by system calls that wait. Nothing could use it: there
// is no handshake, its key is known, and nothing bounds it or ends it but the streams' ends.

const (
	loopHeader  = 5
	loopStride  = loopHeader + record + 1 + 16 // as TLS has it: a content type and a tag
	loopRecords = 32                           // read at once, as by sluice
	loopThreads = 512
)

// prepareLoop lets every thread wait in system calls that Go's scheduler is not told of.
func prepareLoop() {
	runtime.GOMAXPROCS(loopThreads)
	debug.SetGCPercent(-1)
}

// loop relays between the sockets plain and sealed, which it closes.
func loop(plain, sealed net.Conn) error {
	aead, err := gcm.New(make([]byte, 16))
	if err != nil {
		return err
	}
	var fds [2]int
	for i, c := range []net.Conn{plain, sealed} {
		if fds[i], err = blocking(c); err != nil {
			return err
		}
		defer unix.Close(fds[i])
	}
	l := &looped{seal: func(rec []byte, n int) {
		binary.BigEndian.PutUint16(rec[3:], uint16(n+1+aead.Overhead()))
		aead.Seal(rec[loopHeader:loopHeader], make([]byte, 12), rec[loopHeader:loopHeader+n+1], rec[:loopHeader])
	}, open: func(rec []byte) ([]byte, error) {
		inner, err := aead.Open(rec[loopHeader:loopHeader], make([]byte, 12), rec[loopHeader:], rec[:loopHeader])
		if err != nil {
			return nil, err
		}
		return inner[:len(inner)-1], nil
	}}
	errs := make(chan error, 2)
	go func() { errs <- l.sends(fds[0], fds[1]) }()
	go func() { errs <- l.receives(fds[1], fds[0]) }()
	return errors.Join(<-errs, <-errs)
}

// blocking takes a socket out of Go's poller.
func blocking(c net.Conn) (fd int, err error) {
	defer c.Close()
	s, ok := c.(syscall.Conn)
	if !ok {
		return -1, errors.New("no socket")
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := rc.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(cerr, err); err != nil {
		return -1, err
	}
	return fd, unix.SetNonblock(fd, false)
}

type looped struct {
	seal func(rec []byte, n int)
	open func(rec []byte) ([]byte, error)
}

func (l *looped) sends(from, to int) error {
	runtime.LockOSThread()
	mem := make([]byte, loopRecords*loopStride)
	spaces := make([][]byte, loopRecords)
	for {
		for i := range spaces {
			spaces[i] = mem[i*loopStride+loopHeader:][:record]
		}
		n, err := vectored(unix.SYS_READV, from, spaces)
		if err != nil || n == 0 {
			return errors.Join(err, unix.Shutdown(to, unix.SHUT_WR))
		}
		at := 0
		for left := n; left > 0; left -= record {
			size := min(left, record)
			l.seal(mem[at:], size)
			at += loopStride - record + size
		}
		if err := writeFully(to, [][]byte{mem[:at]}); err != nil {
			return err
		}
	}
}

func (l *looped) receives(from, to int) error {
	runtime.LockOSThread()
	mem := make([]byte, loopRecords*loopStride)
	have := 0
	for {
		n, err := vectored(unix.SYS_READV, from, [][]byte{mem[have:]})
		if err != nil || n == 0 {
			return errors.Join(err, unix.Shutdown(to, unix.SHUT_WR))
		}
		have += n
		var opened [][]byte
		rest := mem[:have]
		for len(rest) >= loopHeader {
			size := loopHeader + int(binary.BigEndian.Uint16(rest[3:]))
			if len(rest) < size {
				break
			}
			plain, err := l.open(rest[:size])
			if err != nil {
				return err
			}
			opened, rest = append(opened, plain), rest[size:]
		}
		if err := writeFully(to, opened); err != nil {
			return err
		}
		have = copy(mem, rest)
	}
}

func writeFully(fd int, bufs [][]byte) error {
	for len(bufs) > 0 {
		n, err := vectored(unix.SYS_WRITEV, fd, bufs[:min(len(bufs), loopRecords)])
		if err != nil {
			return err
		}
		for len(bufs) > 0 && n >= len(bufs[0]) {
			n, bufs = n-len(bufs[0]), bufs[1:]
		}
		if len(bufs) > 0 {
			bufs[0] = bufs[0][n:]
		}
	}
	return nil
}

// vectored is readv or writev, of which Go's scheduler is not told.
func vectored(trap uintptr, fd int, bufs [][]byte) (int, error) {
	var io [loopRecords]unix.Iovec
	for i, b := range bufs {
		io[i].Base = unsafe.SliceData(b)
		io[i].SetLen(len(b))
	}
	for {
		n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&io)), uintptr(len(bufs)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
