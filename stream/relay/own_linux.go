package relay

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ownSocket is a socket that a line has taken out of Go's poller: its system
// calls wait.
//
// They wait in two steps. At first Go's scheduler isn't told, and the thread
// keeps its processor (a P, in the runtime's words): whoever moves much rarely
// waits for long, and being told costs it more than the wait, since the
// runtime's monitor thread then looks every 20 us whether the call lasts
// (bench/NOTES.md). After patience the scheduler is told, and the wait has no
// limit. Until then the runtime can't stop the world, and nobody else can have
// the processor; so one is always left to the others.
//
// The first step's limit is the socket's own timeout: with ppoll before the call
// the relays took 3 to 4 % more.
type ownSocket struct {
	fd       int
	most     int32 // how many may wait untold at once
	deadline atomic.Pointer[time.Time]
}

// patience is how long a system call waits untold; the kernel rounds it up to
// its ticks, of at most 10 ms.
const patience = time.Millisecond

// untold counts the threads that wait and keep their processor.
var untold atomic.Int32

// own takes a socket that nobody else uses.
func own(fd int) *ownSocket {
	unix.SetNonblock(fd, false)
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
	return &ownSocket{fd: fd, most: int32(runtime.GOMAXPROCS(0)) - 1}
}

// call is recvmsg or sendmsg. It returns EAGAIN after the write deadline.
func (s *ownSocket) call(trap uintptr, msg *unix.Msghdr) (int, unix.Errno) {
	events := int16(unix.POLLIN)
	if trap == unix.SYS_SENDMSG {
		events = unix.POLLOUT
	}
	for {
		var flags uintptr
		if untold.Add(1) > s.most {
			flags = unix.MSG_DONTWAIT
		}
		n, _, errno := unix.RawSyscall(trap, uintptr(s.fd), uintptr(unsafe.Pointer(msg)), flags)
		untold.Add(-1)
		if errno != unix.EAGAIN {
			return int(n), errno
		}
		limit := -1
		if d := s.deadline.Load(); d != nil && events == unix.POLLOUT {
			if limit = int(time.Until(*d).Milliseconds()); limit <= 0 {
				return 0, errno
			}
		}
		fds := [1]unix.PollFd{{Fd: int32(s.fd), Events: events}}
		unix.Poll(fds[:], limit)
	}
}

// reset makes those who read and write return. A TCP connection then ends with
// a reset when it is closed, unsent bytes and all.
func (s *ownSocket) reset() {
	unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Shutdown(s.fd, unix.SHUT_RDWR)
}

// setWriteDeadline is for a write that has not begun.
func (s *ownSocket) setWriteDeadline(t time.Time) { s.deadline.Store(&t) }
