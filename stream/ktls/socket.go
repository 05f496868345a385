package ktls

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/stream/record"
)

// ErrNone: this kernel has no TLS.
var ErrNone = errors.New("this kernel has no TLS (CONFIG_TLS, module tls)")

// Socket is a TCP connection that the kernel may do TLS on.
type Socket struct {
	conn   *net.TCPConn
	rc     syscall.RawConn
	rekeys bool

	mu     sync.Mutex
	thread int // that waits in the kernel, 0 for none
	reset  bool
}

// endless is a timeout that never comes, in seconds. See wait.
const endless = 1 << 30

// Attach readies c, whose handshake is over. Nothing changes for it until a
// direction is handed over to its Sender or its Receiver. c stays the caller's.
func Attach(c *net.TCPConn, rekeys bool) (*Socket, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: c, rc: rc, rekeys: rekeys}
	err = s.control(func(fd int) error {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: endless}); err != nil {
			return err
		}
		return unix.SetsockoptString(fd, unix.SOL_TCP, unix.TCP_ULP, "tls")
	})
	switch err {
	case nil, unix.EEXIST: // it is there already
		return s, nil
	case unix.ENOENT:
		return nil, ErrNone
	}
	return nil, fmt.Errorf("kernel TLS: %w", os.NewSyscallError("setsockopt TCP_ULP", err))
}

// Sender is the sending direction.
func (s *Socket) Sender() *Sender { return &Sender{s} }

// Receiver is the receiving direction.
func (s *Socket) Receiver() *Receiver { return &Receiver{Socket: s} }

// Rekeys says whether a KeyUpdate can be followed.
func (s *Socket) Rekeys() bool { return s.rekeys }

func (s *Socket) setKey(direction int, k record.Key) error {
	info, err := cryptoInfo(k)
	if err != nil {
		return err
	}
	defer clear(info)
	err = s.control(func(fd int) error { return unix.SetsockoptString(fd, unix.SOL_TLS, direction, string(info)) })
	if err != nil {
		return fmt.Errorf("kernel TLS: %w", os.NewSyscallError(map[int]string{tlsTX: "setsockopt TLS_TX", tlsRX: "setsockopt TLS_RX"}[direction], err))
	}
	return nil
}

func (s *Socket) control(f func(fd int) error) error {
	var err error
	if cerr := s.rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// The Socket is the record.Stream of a direction that was not handed over. It
// waits by no flag of the socket's, which Sender.Control changes.

func (s *Socket) Read(p []byte) (int, error) {
	return s.ReadWaiting(func() []byte { return p }, func() {})
}

// ReadWaiting makes the Socket a record.WaitingStream.
func (s *Socket) ReadWaiting(take func() []byte, idle func()) (n int, err error) {
	cerr := s.rc.Read(func(fd uintptr) bool {
		n, err = retry(func() (int, error) {
			n, _, err := unix.Recvfrom(int(fd), take(), unix.MSG_DONTWAIT)
			return n, err
		})
		if err == unix.EAGAIN {
			idle()
			return false
		}
		return true
	})
	return s.read("read", n, err, cerr)
}

func (s *Socket) Write(p []byte) (int, error) { return s.conn.Write(p) }

func (s *Socket) CloseWrite() error { return s.conn.CloseWrite() }

// Close closes the connection when nobody uses it any more.
func (s *Socket) Close() error { return s.conn.Close() }

// SetWriteDeadline is for the last write.
func (s *Socket) SetWriteDeadline(t time.Time) error {
	tv := unix.NsecToTimeval(max(time.Until(t), time.Millisecond).Nanoseconds())
	err := s.control(func(fd int) error { return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv) })
	return errors.Join(err, s.conn.SetWriteDeadline(t))
}

// Reset ends the connection so that those who wait in it return and its other end
// sees a failure. There is no FIN: some take that for a stream's end by itself.
func (s *Socket) Reset() {
	s.conn.SetLinger(0)
	// One that waits in the kernel is woken by a signal that Go's runtime uses itself
	// and bears at any time. It may be sent just before the wait begins: so again.
	for s.interrupt() {
		time.Sleep(time.Millisecond)
	}
	s.conn.Close()
}

func (s *Socket) interrupt() (waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset = true
	if s.thread == 0 {
		return false
	}
	unix.Tgkill(unix.Getpid(), s.thread, unix.SIGURG)
	return true
}

// wait runs a call that waits in the kernel, until Reset. A signal ends it with
// EINTR, and for good, only on a socket that has a timeout (signal(7)).
func (s *Socket) wait(call func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	enter := func(thread int) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.thread = thread
		return !s.reset
	}
	defer enter(0)
	for enter(unix.Gettid()) {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
	return net.ErrClosed
}

// read is the outcome of reading: the poller's error, if any, comes first.
func (s *Socket) read(op string, n int, err, poller error) (int, error) {
	switch {
	case poller != nil:
		return 0, poller
	case err != nil:
		return 0, s.opError(op, err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (s *Socket) opError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: s.conn.RemoteAddr(), Err: err}
}

// retry calls f until no signal has interrupted it.
func retry(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
