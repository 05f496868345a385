package relay

import (
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// blocking counts the relays that wait in system calls, with a thread for each
// direction, instead of in Go's poller. As long as there is a processor for
// each that costs a tenth less for those that move much; it costs more when
// there are more of them, and makes small exchanges slower. So a relay begins
// in the poller.
var blocking atomic.Int32

// line is one socket of a relay. It reads and writes many pieces of memory with
// one system call. One goroutine may read, another write, and a third reset it.
type line struct {
	conn net.Conn
	rc   syscall.RawConn

	mu     sync.Mutex // held while block changes how the line waits
	thread atomic.Pointer[blockingSocket]

	in, out iovecs
	reading lent
	writes  [1][]byte
}

// newLine returns nil for connections that have no socket of their own.
func newLine(c net.Conn) *line {
	rc := rawConn(c)
	if rc == nil {
		return nil
	}
	return &line{conn: c, rc: rc}
}

// block takes the socket out of Go's poller. Those who wait there return, and
// go on in a system call. It does nothing to a socket that is closed.
func (l *line) block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd := -1
	err := l.rc.Control(func(old uintptr) {
		fd, _ = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	})
	if err != nil || fd < 0 {
		return
	}
	l.conn.Close() // returns when nobody uses the old descriptor
	unix.SetNonblock(fd, false)
	l.thread.Store(&blockingSocket{fd: fd})
}

// moved reports whether err comes from block, which has ended by now.
func (l *line) moved(err error) bool {
	if !errors.Is(err, net.ErrClosed) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.thread.Load() != nil
}

// Readv fills the spaces in order with up to n bytes. 0 is the end.
func (l *line) Readv(into spaces, n int) (got int, err error) {
	if s := l.thread.Load(); s != nil {
		l.in.set(into.Spaces(), n)
		got, err = l.in.call(unix.SYS_READV, s.fd)
		return got, l.opError("read", err)
	}
	cerr := l.rc.Read(func(fd uintptr) bool {
		l.in.set(into.Spaces(), n)
		got, err = l.in.call(unix.SYS_READV, int(fd))
		if err == unix.EAGAIN {
			into.Idle()
			return false
		}
		return true
	})
	if l.moved(cerr) {
		return l.Readv(into, n)
	}
	if cerr != nil {
		return 0, cerr
	}
	return got, l.opError("read", err)
}

// Writev writes all, or returns what it wrote and why not more.
func (l *line) Writev(bufs [][]byte) (wrote int, err error) {
	for len(bufs) > 0 && err == nil {
		now := bufs[:min(len(bufs), maxIovecs)]
		bufs = bufs[len(now):]
		l.out.set(now, total(now))
		var n int
		n, err = l.flush(l.out)
		wrote += n
	}
	return wrote, l.opError("write", err)
}

func (l *line) flush(rest iovecs) (wrote int, err error) {
	once := func(fd int) (err error) {
		for len(rest) > 0 && err == nil {
			var n int
			n, err = rest.call(unix.SYS_WRITEV, fd)
			wrote += n
			rest.skip(n)
		}
		return err
	}
	if s := l.thread.Load(); s != nil {
		return wrote, once(s.fd)
	}
	cerr := l.rc.Write(func(fd uintptr) bool {
		err = once(int(fd))
		return err != unix.EAGAIN
	})
	if l.moved(cerr) {
		n, err := l.flush(rest)
		return wrote + n, err
	}
	if cerr != nil {
		err = cerr
	}
	return wrote, err
}

func (l *line) Read(p []byte) (int, error) {
	return l.ReadWaiting(func() []byte { return p }, func() {})
}

// ReadWaiting makes the line a record.WaitingStream.
func (l *line) ReadWaiting(take func() []byte, idle func()) (int, error) {
	l.reading = lent{take, idle, l.reading.one}
	n, err := l.Readv(&l.reading, math.MaxInt)
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

func (l *line) Write(p []byte) (int, error) {
	l.writes[0] = p
	return l.Writev(l.writes[:])
}

// SetWriteDeadline is for the last write on the line.
func (l *line) SetWriteDeadline(t time.Time) error {
	if s := l.thread.Load(); s != nil {
		return s.setTimeout(time.Until(t))
	}
	return l.conn.SetWriteDeadline(t)
}

func (l *line) CloseWrite() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.thread.Load(); s != nil {
		return l.opError("shutdown", unix.Shutdown(s.fd, unix.SHUT_WR))
	}
	return closeWrite(l.conn)
}

func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.thread.Load(); s != nil {
		s.reset()
		return
	}
	reset(l.conn)
}

// close is called when nobody uses the line any more.
func (l *line) close() {
	if s := l.thread.Load(); s != nil {
		l.thread.Store(&blockingSocket{fd: -1}) // the number may be another's soon
		unix.Close(s.fd)
		return
	}
	l.conn.Close()
}

func (l *line) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return opError(op, l.conn, err)
}

// blockingSocket is a socket on which system calls wait.
type blockingSocket struct{ fd int }

// reset makes those who read and write return. A TCP connection then ends with
// a reset when it is closed, unsent bytes and all.
func (s *blockingSocket) reset() {
	unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Shutdown(s.fd, unix.SHUT_RDWR)
}

func (s *blockingSocket) setTimeout(d time.Duration) error {
	tv := unix.NsecToTimeval(max(d, time.Millisecond).Nanoseconds())
	return unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
}

// blocker decides when a relay's lines leave the poller.
type blocker struct {
	lines []*line
	big   atomic.Int32 // moves of much, by either direction, since the last of little
	state atomic.Int32 // 0: in the poller; 1: decided
	held  bool
}

const (
	// bigMove and bigMoves tell a relay that moves much.
	bigMove  = 64 << 10
	bigMoves = 16
)

// moved is told of each move of n bytes.
func (b *blocker) moved(n int) {
	if b.state.Load() != 0 {
		return
	}
	if n < bigMove {
		b.big.Store(0)
		return
	}
	if b.big.Add(1) < bigMoves || !b.state.CompareAndSwap(0, 1) {
		return
	}
	if int(blocking.Add(1)) > runtime.GOMAXPROCS(0) {
		blocking.Add(-1)
		b.big.Store(0)
		b.state.Store(0) // and try again later
		return
	}
	b.held = true
	for _, l := range b.lines {
		l.block()
	}
}

// release is called when both directions have ended.
func (b *blocker) release() {
	if b.held {
		blocking.Add(-1)
	}
}
