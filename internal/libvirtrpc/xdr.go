package libvirtrpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits of remote_protocol.x, in bytes.
const (
	maxText   = 4 << 20 // REMOTE_STRING_MAX
	maxCookie = 4 << 20 // REMOTE_MIGRATE_COOKIE_MAX
)

// maxParams is REMOTE_DOMAIN_MIGRATE_PARAM_LIST_MAX.
const maxParams = 64

var errShort = errors.New("it ends too early")

// reader takes XDR values off b. After an error all further values are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && n > len(r.b) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uint() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) ulong() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// opaque is bytes of a variable length, not copied.
func (r *reader) opaque(most int) []byte {
	n := r.uint()
	if r.err == nil && uint64(n) > uint64(most) {
		r.err = fmt.Errorf("a value claims %d bytes where %d are the most", n, most)
	}
	if r.err != nil {
		return nil
	}
	v := r.take(int(n))
	r.take(-int(n) & 3)
	return v
}

// text is a string. It must not hold a NUL: libvirt's ends there, and would be
// another one than is looked at here.
func (r *reader) text() string {
	v := r.opaque(maxText)
	if r.err == nil && bytes.IndexByte(v, 0) >= 0 {
		r.err = fmt.Errorf("the text %.80q holds a NUL byte", v)
	}
	if r.err != nil {
		return ""
	}
	return string(v)
}

// optional is a remote_string: a marker and, if that is not zero, a text. As
// libvirt's XDR does, any marker but zero counts.
func (r *reader) optional() *string {
	if r.uint() == 0 || r.err != nil {
		return nil
	}
	s := r.text()
	return &s
}

// end makes sure that nothing follows: what libvirt would not look at could
// be there to be understood in two ways.
func (r *reader) end(what string) error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes follow its end", len(r.b))
	}
	if r.err != nil {
		return fmt.Errorf("read %s: %w", what, r.err)
	}
	return nil
}

// endCookie is end for a call that must have a cookie.
func (r *reader) endCookie(what string, cookie []byte) error {
	if r.err == nil && len(cookie) == 0 {
		r.err = ErrNoCookie
	}
	return r.end(what)
}

// writer appends XDR values to b.
type writer struct{ b []byte }

func (w *writer) uint(v uint32)  { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) ulong(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }

func (w *writer) fixed(v []byte) {
	w.b = append(w.b, v...)
	w.b = append(w.b, make([]byte, -len(v)&3)...)
}

func (w *writer) opaque(v []byte) {
	w.uint(uint32(len(v)))
	w.fixed(v)
}

func (w *writer) text(v string) { w.opaque([]byte(v)) }

func (w *writer) optional(v *string) {
	if v == nil {
		w.uint(0)
		return
	}
	w.uint(1)
	w.text(*v)
}
