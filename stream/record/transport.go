package record

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
)

// some is the store of a Transport: 16 records with what TLS adds to them.
var some = &buffer.Store{Size: 16 * (plainMax + 64)}

// Transport is the transport under a tls.Conn. It reads from the socket as much as there is and
// writes many records at once, but never returns a byte past the end of the record being read: so
// the tls.Conn holds no bytes of ours, and whatever is buffered is here to be looked at.
//
// Read, Buffered and Release belong to the tls.Conn's reader alone.
type Transport struct {
	net.Conn

	in    buffer.Adaptive
	have  []byte // unread part of in's bytes
	last  int    // what the last read from the socket left there
	space int    // and its room
	left  int    // bytes of the current record not yet returned; 0 at a boundary
	most  int    // bytes to hold at once; 0: as many as there is room for
	ended atomic.Bool

	mu   sync.Mutex // held over a write to the socket: keeps the order
	hold bool
	out  []byte
}

// NewTransport returns a Transport over raw, which it doesn't own.
func NewTransport(raw net.Conn) *Transport {
	return &Transport{Conn: raw}
}

// Grow lets reading and writing borrow memory of a share, until Release. Without, the
// Transport holds a record's: strangers get no more.
func (t *Transport) Grow(s *buffer.Share) { t.in.From, t.in.Share = some, s }

func (t *Transport) Read(p []byte) (int, error) {
	if t.left == 0 {
		for len(t.have) < headerLen {
			err := t.fill()
			if err == io.EOF {
				t.ended.Store(true)
				if len(t.have) > 0 {
					err = io.ErrUnexpectedEOF
				}
			}
			if err != nil {
				return 0, err
			}
		}
		t.left = headerLen + int(binary.BigEndian.Uint16(t.have[3:]))
	}
	if len(t.have) == 0 {
		if err := t.fill(); err != nil {
			if err == io.EOF {
				t.ended.Store(true)
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	n := copy(p, t.have[:min(len(t.have), t.left)])
	t.have = t.have[n:]
	t.left -= n
	return n, nil
}

// fill reads once. It is called with less than a header buffered, so that
// moving it to the front costs nothing.
func (t *Transport) fill() error {
	t.have = t.in.Adapt(t.last, t.space, t.have)
	b := t.in.Bytes()
	if t.most > 0 {
		b = b[:min(len(b), t.most)]
	}
	k := copy(b, t.have)
	n, err := t.Conn.Read(b[k:])
	t.last, t.space = n+k, len(b)
	t.have = b[:k+n]
	if n > 0 {
		return nil
	}
	return err
}

// Buffered reports whether a whole record can be read without the socket.
func (t *Transport) Buffered() bool {
	return t.left == 0 && len(t.have) >= headerLen &&
		len(t.have) >= headerLen+int(binary.BigEndian.Uint16(t.have[3:]))
}

// Hold bounds how many bytes are read ahead, for a reader that has no use for more
// than n; two records are.
func (t *Transport) Hold(n int) { t.most = max(n, 2*buffer.Small) }

// Idle gives back what reading has borrowed until the next Read, if what is held is little.
func (t *Transport) Idle() {
	if len(t.have) <= buffer.Small {
		t.have = t.in.Idle(t.have)
	}
}

// Truncated reports whether Read has returned the socket's end: then there was no
// close_notify before it, whatever the tls.Conn says.
func (t *Transport) Truncated() bool { return t.ended.Load() }

// Release gives back the memory that reading has borrowed.
func (t *Transport) Release() {
	t.have = nil
	t.in.Release()
}

// take hands over the unread bytes.
func (t *Transport) take() []byte {
	have := bytes.Clone(t.have)
	t.Release()
	return have
}

func (t *Transport) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.hold {
		return t.Conn.Write(p)
	}
	if t.out == nil {
		if t.out = some.Get(t.in.Share); t.out == nil {
			return t.Conn.Write(p)
		}
		t.out = t.out[:0]
	}
	if len(p) > cap(t.out)-len(t.out) {
		if err := t.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > cap(t.out) {
		return t.Conn.Write(p)
	}
	t.out = append(t.out, p...)
	return len(p), nil
}

// Together runs f and sends the records that it wrote in one system call, or
// as few as the buffer allows.
func (t *Transport) Together(f func() error) error {
	t.mu.Lock()
	t.hold = true
	t.mu.Unlock()
	err := f()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hold = false
	if ferr := t.flush(); err == nil {
		err = ferr
	}
	if t.out != nil {
		some.Put(t.out, t.in.Share)
		t.out = nil
	}
	return err
}

func (t *Transport) flush() error {
	if len(t.out) == 0 {
		return nil
	}
	_, err := t.Conn.Write(t.out)
	t.out = t.out[:0]
	return err
}

// tls.Conn gives its close_notify five seconds and poisons the write deadline afterwards. Here the
// context bounds every wait, and deadlines are the caller's, who sets them on the socket itself.

func (t *Transport) SetDeadline(time.Time) error      { return nil }
func (t *Transport) SetReadDeadline(time.Time) error  { return nil }
func (t *Transport) SetWriteDeadline(time.Time) error { return nil }
