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
// limit.
//
// Meanwhile nobody else can have the processor, so half of them are left to the
// others. The runtime can have it at any time, to stop the world or because
// another waits: its signal ends a call on a socket that has a timeout, with
// EINTR, where one on any other socket would begin again without Go's knowing.
// So both timeouts have to be there.
type ownSocket struct {
	fd       int
	timeouts bool
	deadline atomic.Pointer[time.Time] // of writes
}

// patience is how long a system call waits at first. The kernel makes one to two
// ticks of it, 1 to 20 ms, and on a unix socket for each piece that it sends.
const patience = time.Millisecond

// untold counts the calls of which Go's scheduler isn't told; mayUntold is how
// many there may be.
var untold, mayUntold atomic.Int32

// own takes a socket, and deadline for writes, nil for none. Others that have it
// may do anything with it but change its timeouts.
func own(fd int, deadline *time.Time) *ownSocket {
	unix.SetNonblock(fd, false)
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	s := &ownSocket{fd: fd}
	s.timeouts = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv) == nil &&
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv) == nil
	s.deadline.Store(deadline)
	countProcessors()
	return s
}

// countProcessors is called now and then, for their number may change.
func countProcessors() { mayUntold.Store(int32(runtime.GOMAXPROCS(0) / 2)) }

// call is recvmsg or sendmsg. It returns EAGAIN once the write deadline has
// passed without anything written.
func (s *ownSocket) call(trap uintptr, msg *unix.Msghdr) (int, unix.Errno) {
	for {
		n, errno := s.once(trap, msg)
		if errno != unix.EAGAIN && errno != unix.EINTR {
			return n, errno
		}
		fds := [1]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		limit := -1
		if trap == unix.SYS_SENDMSG {
			fds[0].Events = unix.POLLOUT
			if d := s.deadline.Load(); d != nil {
				if limit = int(time.Until(*d).Milliseconds()); limit <= 0 {
					return 0, unix.EAGAIN
				}
			}
		}
		unix.Poll(fds[:], limit)
		countProcessors()
	}
}

// once waits for patience.
func (s *ownSocket) once(trap uintptr, msg *unix.Msghdr) (int, unix.Errno) {
	if s.timeouts && untold.Add(1) <= mayUntold.Load() {
		n, _, errno := unix.RawSyscall(trap, uintptr(s.fd), uintptr(unsafe.Pointer(msg)), 0)
		untold.Add(-1)
		return int(n), errno
	}
	if s.timeouts {
		untold.Add(-1)
	}
	n, _, errno := unix.Syscall(trap, uintptr(s.fd), uintptr(unsafe.Pointer(msg)), 0)
	return int(n), errno
}

// reset makes those who read and write return. A TCP connection then ends with
// a reset when it is closed, unsent bytes and all.
func (s *ownSocket) reset() {
	unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Shutdown(s.fd, unix.SHUT_RDWR)
}
