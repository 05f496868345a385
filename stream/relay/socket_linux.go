package relay

import (
	"io"
	"math"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is one socket of a relay. It reads and writes many pieces of memory with one system call,
// and knows what there is room for. It waits in Go's poller, so that closing the net.Conn, whose it
// is, ends every wait. One goroutine may read while another writes.
type socket struct {
	conn net.Conn
	rc   syscall.RawConn
	tcp  bool

	in, out transfer
	reading lent
	writes  [1][]byte
	space   int
	wrote   int64
	idle    func()
	look    func(fd uintptr) bool
}

// newSocket returns nil for connections that have no socket of their own.
func newSocket(c net.Conn) *socket {
	rc := rawConn(c)
	if rc == nil {
		return nil
	}
	s := &socket{conn: c, rc: rc}
	s.in.f, s.out.f, s.look = s.in.read, s.out.write, s.hasRoom
	if _, s.tcp = c.(*net.TCPConn); s.tcp {
		rc.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_NOTSENT_LOWAT, unsentMost) })
	}
	return s
}

// Readv fills the spaces in order with up to n bytes. 0 is the end.
func (s *socket) Readv(into spaces, n int) (int, error) {
	s.in.into, s.in.n = into, n
	if err := s.rc.Read(s.in.f); err != nil {
		return 0, err
	}
	return s.in.n, s.opError("read", s.in.err)
}

// Writev writes all, or returns what it wrote and why not more.
func (s *socket) Writev(bufs [][]byte) (wrote int, err error) {
	for len(bufs) > 0 && err == nil {
		now := bufs[:min(len(bufs), maxIovecs)]
		bufs = bufs[len(now):]
		s.out.io.set(now, total(now))
		s.out.rest, s.out.n = s.out.io, 0
		if err = s.rc.Write(s.out.f); err == nil {
			err = s.out.err
		}
		wrote += s.out.n
	}
	s.wrote += int64(wrote)
	return wrote, s.opError("write", err)
}

// Room waits until the socket takes bytes, and returns about how many it takes
// at once. Before it waits it calls idle: who has that to write need hold no memory
// meanwhile. Where there is no socket nothing is known, and there is no limit.
func (s *socket) Room(idle func()) (int, error) {
	if s == nil {
		return math.MaxInt, nil
	}
	s.idle = idle
	err := s.rc.Write(s.look)
	return s.space, s.opError("write", err)
}

func (s *socket) hasRoom(fd uintptr) bool {
	if s.space = room(int(fd), s.tcp, s.wrote >= provenBytes); s.space == 0 {
		s.idle()
	}
	return s.space > 0
}

// Readable waits until there is something to read.
func (s *socket) Readable() error { return s.opError("read", s.rc.Read(readable)) }

func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // which is no end
	}
	return s.ReadWaiting(func() []byte { return p }, func() {})
}

// ReadWaiting makes the socket a record.WaitingStream.
func (s *socket) ReadWaiting(take func() []byte, idle func()) (int, error) {
	s.reading = lent{take, idle, s.reading.one}
	n, err := s.Readv(&s.reading, math.MaxInt)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// lent are spaces of one piece.
type lent struct {
	take func() []byte
	idle func()
	one  [1][]byte
}

func (l *lent) Spaces() [][]byte {
	l.one[0] = l.take()
	return l.one[:]
}

func (l *lent) Idle() { l.idle() }

func (s *socket) Write(p []byte) (int, error) {
	s.writes[0] = p
	return s.Writev(s.writes[:])
}

func (s *socket) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }
func (s *socket) CloseWrite() error                  { return closeWrite(s.conn) }

// delivered reports whether the other end has all that was written: at a TCP socket its kernel, at
// a unix socket its reader. An error says that it has not, and won't.
func (s *socket) delivered() (done bool, err error) {
	cerr := s.rc.Control(func(fd uintptr) {
		var n int
		n, err = queued(int(fd), unix.SIOCOUTQ)
		fds := []unix.PollFd{{Fd: int32(fd)}}
		ready(fds)
		switch broken := fds[0].Revents; {
		case err != nil:
		case n == 0 && broken&unix.POLLERR == 0:
			done = true
		case broken != 0:
			err = unix.ECONNRESET
		}
	})
	if cerr != nil {
		return false, cerr
	}
	return done, s.opError("write", err)
}

func (s *socket) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return opError(op, s.conn, err)
}
