package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Most connections that may be without a word at once, in all and from one
// address. More are closed: who opens connections and says nothing keeps no
// peer from its own.
const (
	mostWaiting     = 4096
	mostWaitingFrom = 256
)

var errSilent = errors.New("it was closed before it had said anything")

// silent counts the connections that have not said anything yet.
type silent struct {
	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
}

// add makes a place for a connection from a, or says that there is none.
func (w *silent) add(a netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= mostWaiting || w.from[a] >= mostWaitingFrom {
		return false
	}
	if w.from == nil {
		w.from = make(map[netip.Addr]int)
	}
	w.all++
	w.from[a]++
	return true
}

func (w *silent) remove(a netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.from[a]--; w.from[a] == 0 {
		delete(w.from, a)
	}
}

// firstByte waits for a connection's first byte and leaves it there.
func (w *silent) firstByte(ctx context.Context, c *net.TCPConn) (byte, error) {
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	if !w.add(from) {
		return 0, fmt.Errorf("too many connections that say nothing (%d from one address, %d in all)", mostWaitingFrom, mostWaiting)
	}
	defer w.remove(from)
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	var b [1]byte
	var n int
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		n, _, peekErr = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
		return peekErr != unix.EAGAIN
	})
	switch {
	case !stop():
		return 0, context.Cause(ctx)
	case err != nil || peekErr != nil:
		return 0, errors.Join(err, peekErr)
	case n == 0:
		return 0, errSilent
	}
	return b[0], nil
}
