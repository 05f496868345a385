package peer

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Most connections that may be pending at once: come in, and not in their handshake yet. They hold
// a descriptor each, and anyone can open them.
const (
	maxPending     = 1024
	maxPendingFrom = 64  // from one address that is no peer's, or its network (sockets.Source)
	maxPendingPeer = 512 // from one that is: a peer's many sessions, and whoever shares its address
)

var (
	errSilent  = errors.New("it was closed before it had sent anything")
	errEvicted = errors.New("it was closed to make room for others: too many connections have come and not begun a handshake")
)

// Silent says whether a connection was refused since it said nothing, as health checks of load
// balancers do.
func Silent(err error) bool { return errors.Is(err, errSilent) }

// pending are the connections that have come in and not begun their handshake, oldest first. When
// there are too many the oldest goes, of a stranger's before any from a peer's address: whoever
// opens connections and says nothing keeps nobody else out.
type pending struct {
	mu   sync.Mutex
	list list.List // of *pendingConn
	from map[netip.Addr]int
}

type pendingConn struct {
	addr  netip.Addr
	known bool
	evict context.CancelCauseFunc
}

// add makes a place for a connection from addr. ctx ends when it is to go; done gives the place
// back.
func (p *pending) add(ctx context.Context, addr netip.Addr, known bool) (_ context.Context, done func()) {
	ctx, evict := context.WithCancelCause(ctx)
	c := &pendingConn{addr, known, evict}
	most := maxPendingFrom
	if known {
		most = maxPendingPeer
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from == nil {
		p.from = make(map[netip.Addr]int)
	}
	if p.from[addr] >= most {
		p.evict(func(o *pendingConn) bool { return o.addr == addr })
	}
	if p.list.Len() >= maxPending && !p.evict(func(o *pendingConn) bool { return !o.known }) {
		p.evict(func(*pendingConn) bool { return true })
	}
	e := p.list.PushBack(c)
	p.from[addr]++
	return ctx, func() {
		evict(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.remove(e)
	}
}

// evict ends the oldest connection that may go.
func (p *pending) evict(may func(*pendingConn) bool) bool {
	for e := p.list.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*pendingConn); may(c) {
			c.evict(errEvicted)
			p.remove(e)
			return true
		}
	}
	return false
}

// remove takes e off the list, if it is on it.
func (p *pending) remove(e *list.Element) {
	c := e.Value.(*pendingConn)
	if c.evict == nil {
		return
	}
	c.evict = nil
	p.list.Remove(e)
	if p.from[c.addr]--; p.from[c.addr] == 0 {
		delete(p.from, c.addr)
	}
}

// firstRecord waits for a connection's first byte, and where that is TLS's for the whole record,
// and leaves them there. A handshake that stops in the middle of it costs this host nothing but a
// descriptor, which can be taken back.
func firstRecord(ctx context.Context, c *net.TCPConn) (first []byte, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	buf := make([]byte, tlsHeader)
	var n int
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, peekErr = unix.Recvfrom(int(fd), buf, unix.MSG_PEEK)
			switch {
			case peekErr == unix.EAGAIN:
				return false
			case peekErr != nil || n == 0 || buf[0] != firstOfTLS:
				return true
			case n < len(buf):
				return hungUp(fd) // or more is to come
			case len(buf) > tlsHeader:
				return true
			}
			length := int(binary.BigEndian.Uint16(buf[3:]))
			if length == 0 || length > maxRecord {
				return true // crypto/tls has the words
			}
			buf = make([]byte, tlsHeader+length)
		}
	})
	switch {
	case !stop():
		return nil, context.Cause(ctx)
	case err != nil || peekErr != nil:
		return nil, fmt.Errorf("%w: %w", errSilent, errors.Join(err, peekErr))
	case n == 0:
		return nil, errSilent
	}
	return buf[:n], nil
}

const (
	tlsHeader = 5       // of a record: type, version, length (RFC 8446, section 5.1)
	maxRecord = 1 << 14 // bytes in a record of plaintext
)

// hungUp says whether the other end sends nothing any more.
func hungUp(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}
