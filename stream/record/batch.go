package record

import "github.com/virt-sluice/sluice/stream/internal/buffer"

const (
	// stride is the distance of full records that follow one another.
	stride = plainMax + overhead
	// Slots is the most records that a Batch holds.
	Slots = 32
	// BatchBytes is the most bytes of a stream that a Batch holds.
	BatchBytes = Slots * plainMax
)

// store lends the memory of large batches and large reads.
var store = &buffer.Store{Size: Slots * stride}

// Batch is memory for records that are sealed where they are: the stream's bytes are put into its
// Spaces, with room between for what TLS adds, and leave in one write. It holds one record while
// little moves; while much does it borrows room for Slots records from a store common to the
// process, from Spaces until Idle.
//
// The zero Batch is ready. Release it after use.
type Batch struct {
	// Share bounds what is borrowed; nil: no bound of its own. Fixed: nothing is.
	Share *buffer.Share
	Fixed bool
	// BeforeWait, if set, is called before Send waits for another goroutine that sends.
	BeforeWait func()

	mem    buffer.Adaptive
	spaces [][]byte
	of     *byte // the memory that spaces are of
}

func (b *Batch) ready() {
	if !b.Fixed {
		b.mem.From, b.mem.Share = store, b.Share
	}
}

// Spaces returns the places for the stream's bytes, to be filled in order, each
// before the next. They are valid until Sent, Idle or Release.
func (b *Batch) Spaces() [][]byte {
	b.ready()
	mem := b.mem.Bytes()
	if b.of == &mem[0] {
		return b.spaces
	}
	b.of = &mem[0]
	b.spaces = b.spaces[:0]
	for ; len(mem) >= stride; mem = mem[stride:] {
		b.spaces = append(b.spaces, mem[headerLen:headerLen+plainMax:headerLen+plainMax])
	}
	return b.spaces
}

// Room returns the most bytes that Spaces can be expected to hold.
func (b *Batch) Room() int {
	b.ready()
	return b.mem.Room() / stride * plainMax
}

// Grown reports whether Spaces borrows memory, if there is some.
func (b *Batch) Grown() bool { return b.mem.Grown() }

// Sent says that n bytes were read into the Spaces and sent. The Batch grows or shrinks by it.
func (b *Batch) Sent(n int) {
	b.mem.Adapt(n, len(b.spaces)*plainMax, nil)
	b.of = nil
}

// Idle gives borrowed memory back while there is nothing to send.
func (b *Batch) Idle() {
	b.mem.Idle(nil)
	b.of = nil
}

// Release gives the batch's memory back.
func (b *Batch) Release() {
	b.mem.Release()
	*b = Batch{Share: b.Share, Fixed: b.Fixed, BeforeWait: b.BeforeWait}
}
