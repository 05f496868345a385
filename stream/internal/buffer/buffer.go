// Package buffer is the memory that the directions of channels read into: a
// little for each, and much, borrowed from a bounded common store, for those
// that move much.
package buffer

import (
	"sync"
	"sync/atomic"
)

const (
	// RecordPlain is the most that one TLS record carries (RFC 8446, 5.1).
	RecordPlain = 16384
	// Small is what a direction holds while it is idle: any record of any
	// version of TLS, header included (RFC 5246, 6.2.3).
	Small = RecordPlain + 2048 + 5
	// Limit bounds what all directions of the process borrow together, in
	// bytes. Those that get nothing go on with what they hold.
	Limit = 256 << 20

	// patience is how many reads in a row must have fitted Small before the
	// large memory is given back.
	patience = 16
)

// Store lends pieces of memory of one size.
type Store struct {
	Size int
	free sync.Pool
}

// lent is the bytes out of all stores.
var lent atomic.Int64

// Lent returns the bytes that are out of all stores.
func Lent() int64 { return lent.Load() }

// Get returns nil when the process has lent its limit. What it returns may
// hold bytes of other channels.
func (s *Store) Get() []byte {
	if lent.Add(int64(s.Size)) > Limit {
		lent.Add(int64(-s.Size))
		return nil
	}
	if b, ok := s.free.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, s.Size)
}

// Put takes back what Get returned.
func (s *Store) Put(b []byte) {
	b = b[:cap(b)]
	s.free.Put(&b)
	lent.Add(int64(-s.Size))
}

// Adaptive is a direction's memory. It grows when reads fill it, and shrinks
// after many small ones. What it has borrowed must be released.
type Adaptive struct {
	From *Store // nil: it doesn't grow

	small, large []byte
	shortReads   int
}

// Bytes returns the memory. It is valid until Adapt or Release.
func (a *Adaptive) Bytes() []byte {
	if a.large != nil {
		return a.large
	}
	if a.small == nil {
		a.small = make([]byte, Small)
	}
	return a.small
}

// Adapt is told that a read of n bytes, for which there was space, is done
// with, all but keep, which is of the memory, and moves that to the front of
// what Bytes returns next. keep fits Small.
func (a *Adaptive) Adapt(n, space int, keep []byte) {
	switch {
	case a.large == nil && a.From != nil && n > 0 && n == space:
		a.large = a.From.Get()
		a.shortReads = 0
	case a.large != nil && n < RecordPlain:
		if a.shortReads++; a.shortReads >= patience {
			copy(a.small, keep)
			a.Release()
			return
		}
	default:
		a.shortReads = 0
	}
	copy(a.Bytes(), keep)
}

// Release gives the large memory back.
func (a *Adaptive) Release() {
	if a.large != nil {
		a.From.Put(a.large)
		a.large = nil
		a.shortReads = 0
	}
}
