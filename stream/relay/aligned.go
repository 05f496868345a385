package relay

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

// recordHeader is content type, version and length (RFC 8446, 5.1).
const recordHeader = 5

// aligned is the transport under a tls.Conn. It reads from the socket as much
// as there is and writes many records at once, but never returns a byte past
// the end of the record being read: so the tls.Conn holds no bytes of ours, and
// whatever is buffered is here to be looked at.
//
// Read belongs to the tls.Conn's reader alone, as buffered does.
type aligned struct {
	net.Conn

	in    buffer
	have  []byte // unread part of in's bytes
	last  int    // size of the last read from the socket
	space int    // and the space it had
	left  int    // bytes of the current record not yet returned; 0 at a boundary
	ended bool   // the socket's end was returned: there was no close_notify

	mu   sync.Mutex // held over a write to the socket: keeps the order
	hold bool
	out  []byte
}

func newAligned(raw net.Conn) *aligned { return &aligned{Conn: raw} }

func (a *aligned) Read(p []byte) (int, error) {
	if a.left == 0 {
		for len(a.have) < recordHeader {
			err := a.fill()
			if err == io.EOF {
				a.ended = true
				if len(a.have) > 0 {
					err = io.ErrUnexpectedEOF
				}
			}
			if err != nil {
				return 0, err
			}
		}
		a.left = recordHeader + int(binary.BigEndian.Uint16(a.have[3:]))
	}
	if len(a.have) == 0 {
		if err := a.fill(); err != nil {
			if err == io.EOF {
				a.ended = true
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	n := copy(p, a.have[:min(len(a.have), a.left)])
	a.have = a.have[n:]
	a.left -= n
	return n, nil
}

// fill reads once. It is called with less than a header buffered, so that
// moving it to the front costs nothing.
func (a *aligned) fill() error {
	var keep [recordHeader]byte
	k := copy(keep[:], a.have)
	a.in.adapt(a.last, a.space)
	b := a.in.bytes()
	copy(b, keep[:k])
	n, err := a.Conn.Read(b[k:])
	a.last, a.space = n+k, len(b)
	a.have = b[:k+n]
	if n > 0 {
		return nil
	}
	return err
}

// buffered reports whether a whole record can be read without the socket.
func (a *aligned) buffered() bool {
	return a.left == 0 && len(a.have) >= recordHeader &&
		len(a.have) >= recordHeader+int(binary.BigEndian.Uint16(a.have[3:]))
}

func (a *aligned) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.hold {
		return a.Conn.Write(p)
	}
	if a.out == nil {
		if a.out = large.get(); a.out == nil {
			return a.Conn.Write(p)
		}
		a.out = a.out[:0]
	}
	if len(p) > cap(a.out)-len(a.out) {
		if err := a.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > cap(a.out) {
		return a.Conn.Write(p)
	}
	a.out = append(a.out, p...)
	return len(p), nil
}

// together runs f and sends the records that it wrote in one system call, or
// as few as the buffer allows.
func (a *aligned) together(f func() error) error {
	a.mu.Lock()
	a.hold = true
	a.mu.Unlock()
	err := f()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hold = false
	if ferr := a.flush(); err == nil {
		err = ferr
	}
	if a.out != nil {
		large.put(a.out[:cap(a.out)])
		a.out = nil
	}
	return err
}

func (a *aligned) flush() error {
	if len(a.out) == 0 {
		return nil
	}
	_, err := a.Conn.Write(a.out)
	a.out = a.out[:0]
	return err
}

// tls.Conn gives its close_notify five seconds and poisons the write deadline
// afterwards. Here the context bounds every wait, and deadlines are the
// caller's, who sets them on the socket itself.

func (a *aligned) SetDeadline(time.Time) error      { return nil }
func (a *aligned) SetReadDeadline(time.Time) error  { return nil }
func (a *aligned) SetWriteDeadline(time.Time) error { return nil }
