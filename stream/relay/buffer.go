package relay

import (
	"sync"
	"sync/atomic"
)

const (
	// recordPlain is the most that a record holds.
	recordPlain = 16384
	// smallBuffer is what an idle direction holds: a full TLS record of any
	// version, its header included (RFC 5246, 6.2.3: 2^14 + 2048 + 5).
	smallBuffer = recordPlain + 2048 + recordHeader
	// largeBuffer is what a direction borrows while its reads come back full: 16
	// full records with what TLS adds to them.
	largeBuffer = 16 * (recordPlain + 64)
	// largeBuffers bounds what all directions of the process borrow, to 128 MiB.
	// Those that get none go on with their small one.
	largeBuffers = 512
	// patience is how many reads in a row must fit the small buffer before the
	// large one is given back.
	patience = 16
)

// buffer is a direction's memory for reading. It grows when reads fill it.
type buffer struct {
	small, large []byte
	shortReads   int
}

func (b *buffer) bytes() []byte {
	if b.large != nil {
		return b.large
	}
	if b.small == nil {
		b.small = make([]byte, smallBuffer)
	}
	return b.small
}

// adapt is told that a read of n bytes into space bytes is done with. The
// slices that bytes returned before must not be in use.
func (b *buffer) adapt(n, space int) {
	switch {
	case b.large == nil && n > 0 && n == space:
		b.large = large.get()
		b.shortReads = 0
	case b.large != nil && n < smallBuffer:
		if b.shortReads++; b.shortReads >= patience {
			b.release()
		}
	default:
		b.shortReads = 0
	}
}

// release gives the large buffer back.
func (b *buffer) release() {
	if b.large != nil {
		large.put(b.large)
		b.large = nil
	}
}

// bufferPool is a sync.Pool that knows how many of its buffers are out.
type bufferPool struct {
	size  int
	limit int64
	out   atomic.Int64
	free  sync.Pool
}

var large = &bufferPool{size: largeBuffer, limit: largeBuffers}

// get returns nil when too many buffers are out.
func (p *bufferPool) get() []byte {
	if p.out.Add(1) > p.limit {
		p.out.Add(-1)
		return nil
	}
	if b, ok := p.free.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, p.size)
}

func (p *bufferPool) put(b []byte) {
	p.free.Put(&b)
	p.out.Add(-1)
}
