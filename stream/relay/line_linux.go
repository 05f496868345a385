package relay

import (
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
// direction, instead of in Go's poller. For those that move much that is cheaper
// by far (bench/NOTES.md), as long as there is a processor for each; it costs
// more when there are more of them, and makes small exchanges slower. So a relay
// begins in the poller.
var blocking atomic.Int32

// line is one socket of a relay. It reads and writes many pieces of memory with
// one system call. One goroutine may read, another write, and a third reset it.
//
// It waits in one of two ways: in Go's poller by its net.Conn, which others may
// then use as well, or in the system call itself. Who waits when the way is
// changed returns, and goes on in the new one.
type line struct {
	conn net.Conn
	rc   syscall.RawConn

	mu       sync.Mutex // held while the way changes
	own      atomic.Pointer[ownSocket]
	deadline *time.Time // of writes, once there is one

	in, out transfer
	reading lent
	writes  [1][]byte
}

// newLine returns nil for connections that have no socket of their own.
func newLine(c net.Conn) *line {
	rc := rawConn(c)
	if rc == nil {
		return nil
	}
	l := &line{conn: c, rc: rc}
	l.in.f, l.out.f = l.in.read, l.out.write
	return l
}

// block makes the socket's system calls wait. It does nothing to a socket that
// is closed.
func (l *line) block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own.Load() != nil {
		return
	}
	fd := l.duplicate()
	if fd < 0 {
		return
	}
	l.conn.Close() // returns when nobody is within a call that must not wait
	l.own.Store(own(fd, l.deadline))
}

// duplicate returns a second descriptor of the net.Conn's socket, or -1.
func (l *line) duplicate() int {
	fd := -1
	l.rc.Control(func(old uintptr) {
		fd, _ = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	})
	return fd
}

// left reports whether the line waits in another way than s by now. Who was
// waiting there has got an error.
func (l *line) left(s *ownSocket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.own.Load() != s
}

// Readv fills the spaces in order with up to n bytes. 0 is the end.
func (l *line) Readv(into spaces, n int) (int, error) {
	l.in.into, l.in.n = into, n
	for {
		s := l.own.Load()
		var err error
		if s == nil {
			err = l.rc.Read(l.in.f)
		} else {
			l.in.own = s
			l.in.read(0)
		}
		if err == nil {
			return l.in.n, l.opError("read", l.in.err)
		}
		if !l.left(s) {
			return 0, err
		}
	}
}

// Writev writes all, or returns what it wrote and why not more.
func (l *line) Writev(bufs [][]byte) (wrote int, err error) {
	for len(bufs) > 0 && err == nil {
		now := bufs[:min(len(bufs), maxIovecs)]
		bufs = bufs[len(now):]
		l.out.io.set(now, total(now))
		err = l.flush()
		wrote += l.out.n
	}
	return wrote, l.opError("write", err)
}

func (l *line) flush() error {
	l.out.rest, l.out.n = l.out.io, 0
	for {
		s := l.own.Load()
		var err error
		if s == nil {
			err = l.rc.Write(l.out.f)
		} else {
			l.out.own = s
			l.out.write(0)
		}
		if err == nil {
			return l.out.err
		}
		if !l.left(s) {
			return err
		}
	}
}

func (l *line) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // which is no end
	}
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

// SetWriteDeadline is for the last write on the line: none is not to be had again.
func (l *line) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = &t
	if s := l.own.Load(); s != nil {
		s.deadline.Store(&t)
		return nil
	}
	return l.conn.SetWriteDeadline(t)
}

func (l *line) CloseWrite() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.own.Load(); s != nil {
		return l.opError("shutdown", unix.Shutdown(s.fd, unix.SHUT_WR))
	}
	return closeWrite(l.conn)
}

func (l *line) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.own.Load(); s != nil {
		s.reset()
		return
	}
	reset(l.conn)
}

// close is called when nobody uses the line any more.
func (l *line) close() {
	if s := l.own.Load(); s != nil {
		l.own.Store(&ownSocket{fd: -1}) // the number may be another's soon
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
