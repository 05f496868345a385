package relay

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownSocket is a socket that a line has taken out of Go's poller.
type ownSocket struct {
	fd int
	// in and out are where readers and writers wait. If they are nil the socket's
	// system calls do.
	in, out *watch
}

// newWatched lets those who use fd wait in Go's poller, but for what they wait
// for alone.
//
// Go's poller asks for all events of a socket. Of a unix socket it so learns
// each time that what was written has been read: for every message of an
// exchange the process is woken once for nothing.
func newWatched(fd int) (*ownSocket, error) {
	in, err := newWatch(fd, unix.EPOLLIN)
	if err != nil {
		return nil, err
	}
	// Writers seldom wait: nothing is asked for until they do.
	out, err := newWatch(fd, 0)
	if err != nil {
		in.close()
		return nil, err
	}
	return &ownSocket{fd: fd, in: in, out: out}, nil
}

func (s *ownSocket) blocks() bool { return s.in == nil }

// read does t when the socket can be read, or is at its end.
func (s *ownSocket) read(t *transfer) error {
	t.fd, t.blocks = s.fd, s.blocks()
	if t.blocks {
		t.read(0)
		return nil
	}
	return s.in.rc.Read(t.f)
}

// write does t, as often as the socket can be written.
func (s *ownSocket) write(t *transfer) error {
	t.fd, t.blocks, t.room = s.fd, s.blocks(), s.out
	if t.blocks {
		t.write(0)
		return nil
	}
	err := s.out.rc.Read(t.f)
	if t.asked {
		t.asked = false
		s.out.ask(s.fd, 0)
	}
	return err
}

// stopWatching makes those who wait return with an error.
func (s *ownSocket) stopWatching() {
	if !s.blocks() {
		s.in.close()
		s.out.close()
	}
}

// reset makes those who read and write return. A TCP connection then ends with
// a reset when it is closed, unsent bytes and all.
func (s *ownSocket) reset() {
	unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Shutdown(s.fd, unix.SHUT_RDWR)
}

func (s *ownSocket) setWriteDeadline(t time.Time) error {
	if !s.blocks() {
		return s.out.file.SetReadDeadline(t)
	}
	tv := unix.NsecToTimeval(max(time.Until(t), time.Millisecond).Nanoseconds())
	return unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
}

// watch is an epoll with one socket in it, which itself is in Go's poller: it
// can be read when the socket is ready.
type watch struct {
	file *os.File
	rc   syscall.RawConn
}

func newWatch(fd int, events uint32) (*watch, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	unix.SetNonblock(ep, true) // or os.NewFile would leave it out of the poller
	w := &watch{file: os.NewFile(uintptr(ep), "epoll")}
	if w.rc, err = w.file.SyscallConn(); err == nil {
		err = w.control(unix.EPOLL_CTL_ADD, fd, events)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// ask changes what is waited for. It can't fail: the socket is there, and so is
// the epoll, unless those who wait are being woken for good.
func (w *watch) ask(fd int, events uint32) {
	w.control(unix.EPOLL_CTL_MOD, fd, events)
}

func (w *watch) control(op, fd int, events uint32) error {
	var err error
	closed := w.rc.Control(func(ep uintptr) {
		err = unix.EpollCtl(int(ep), op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	return errors.Join(closed, err)
}

func (w *watch) close() { w.file.Close() }
