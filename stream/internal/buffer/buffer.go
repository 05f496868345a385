// Package buffer is the memory that the directions of channels read into: a little for each, and
// much, borrowed from a bounded common store, for those that move much.
package buffer

import "sync"

const (
	// RecordPlain is the most that one TLS record carries (RFC 8446, 5.1).
	RecordPlain = 16384
	// Small is what a direction holds while it is idle: any record of any
	// version of TLS, header included (RFC 5246, 6.2.3).
	Small = RecordPlain + 2048 + 5
	// Limit bounds what all directions of the process borrow together, in bytes. Those that get
	// nothing, of it or of their Share, go on with what they hold.
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

// Lent returns the bytes that are out of all stores.
func Lent() int64 { return all.taken.Load() }

// Get returns nil when all of the share is out, nil being that of the process.
// What it returns may hold bytes of other channels.
func (s *Store) Get(of *Share) []byte {
	if !of.orAll().take(int64(s.Size)) {
		return nil
	}
	if b, ok := s.free.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, s.Size)
}

// Put takes back what Get returned.
func (s *Store) Put(b []byte, of *Share) {
	b = b[:cap(b)]
	s.free.Put(&b)
	of.orAll().give(int64(s.Size))
}

// Adaptive is a direction's memory: a little of its own, or, once a read has filled that, much that
// is borrowed while there is something to read. What it has borrowed must be released.
type Adaptive struct {
	From  *Store // nil: it doesn't grow
	Share *Share // nil: it has no bound of its own

	small, large []byte
	much         bool // borrow
	shortReads   int
}

// Bytes returns the memory, borrowing it if need be. It is valid until Adapt, Idle or Release.
func (a *Adaptive) Bytes() []byte {
	if a.much && a.large == nil {
		a.large = a.From.Get(a.Share)
	}
	if a.large != nil {
		return a.large
	}
	if a.small == nil {
		a.small = make([]byte, Small)
	}
	return a.small
}

// Room returns the size of what Bytes is likely to return.
func (a *Adaptive) Room() int {
	if a.much {
		return a.From.Size
	}
	return Small
}

// Grown says whether Bytes borrows memory, if there is some.
func (a *Adaptive) Grown() bool { return a.much }

// Adapt is told that a read of n bytes, for which there was space, is done with,
// all but keep. It returns keep as Idle does.
func (a *Adaptive) Adapt(n, space int, keep []byte) []byte {
	switch {
	case !a.much:
		a.much = a.From != nil && n > 0 && n == space
		a.shortReads = 0
	case n >= RecordPlain:
		a.shortReads = 0
	default:
		if a.shortReads++; a.shortReads >= patience {
			a.much = false
			return a.Idle(keep)
		}
	}
	return keep
}

// Idle gives borrowed memory back until Bytes is called again: there is nothing to read. keep,
// which is of the memory and fits Small, is moved, and returned where it is then.
func (a *Adaptive) Idle(keep []byte) []byte {
	if a.large == nil {
		return keep
	}
	if len(keep) > 0 {
		if a.small == nil {
			a.small = make([]byte, Small)
		}
		keep = a.small[:copy(a.small, keep)]
	}
	a.Release()
	return keep
}

// Release gives borrowed memory back.
func (a *Adaptive) Release() {
	if a.large != nil {
		a.From.Put(a.large, a.Share)
		a.large = nil
	}
}
