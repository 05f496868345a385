package libvirtrpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// packetWriter writes packets to one side, each undivided.
type packetWriter struct {
	mu  sync.Mutex
	w   io.Writer
	cut bool // a packet has been begun that can't be ended: what followed would be read as its rest
}

var errCut = errors.New("a packet before was cut short")

func (w *packetWriter) packet(h Head, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return errCut
	}
	_, err := w.w.Write(packet(h, body))
	return err
}

// packetReader takes packets from one side. Those that pass go to the other side
// out of the buffer into which they were read, many with one write.
type packetReader struct {
	src io.Reader
	out *packetWriter

	buf        []byte
	begin, end int // what was read and not taken yet
	passed     int // buf[passed:begin] is to be passed, and has not been yet
	err        error
	cut        bool // err came in the middle of a packet

	reads atomic.Uint64 // that have brought something
	state atomic.Int32
}

// What a packetReader does.
const (
	readingPaused int32 = iota // with what it has read; what else there is waits
	readingWaits               // for more to come
	readingEnded
)

func newPacketReader(src io.Reader, out *packetWriter) *packetReader {
	return &packetReader{src: src, out: out, buf: make([]byte, bufferSize)}
}

// head looks at the next packet: its head and its length with it, in bytes. The caller then passes,
// takes or skips it. io.EOF means that the stream ended between two packets.
func (in *packetReader) head() (Head, int, error) {
	if err := in.need(lengthSize); err != nil {
		return Head{}, 0, err
	}
	n, err := parseLength(in.buf[in.begin:])
	if err == nil {
		err = in.need(headSize)
	} else if ferr := in.flush(); ferr != nil { // what came before was in order
		err = ferr
	}
	if err != nil {
		return Head{}, 0, err
	}
	return ParseHead(in.buf[in.begin:]), n, nil
}

// setSerial changes the serial of the packet that head has just looked at.
func (in *packetReader) setSerial(serial uint32) {
	binary.BigEndian.PutUint32(in.buf[in.begin+serialAt:], serial)
}

// whole says whether all n bytes of the next packet are here.
func (in *packetReader) whole(n int) bool { return in.end-in.begin >= n }

// need reads until n bytes, at most bufferSize, are there. Nothing that may pass waits for that.
func (in *packetReader) need(n int) error {
	for in.end-in.begin < n {
		if err := in.flush(); err != nil {
			return err
		}
		copy(in.buf, in.buf[in.begin:in.end])
		in.end -= in.begin
		in.begin, in.passed = 0, 0
		if err := in.read(); err != nil {
			if err == io.EOF && in.end > in.begin {
				err = fmt.Errorf("the stream ended within a packet's head: %w", io.ErrUnexpectedEOF)
			}
			return err
		}
	}
	return nil
}

// read reads once, behind what is in the buffer.
func (in *packetReader) read() error {
	for empty := 0; ; empty++ {
		if in.err != nil {
			in.state.Store(readingEnded)
			return in.err
		}
		in.state.Store(readingWaits)
		n, err := in.src.Read(in.buf[in.end:])
		in.end, in.err = in.end+n, err
		if n > 0 {
			in.reads.Add(1)
			in.state.Store(readingPaused)
			return nil
		}
		if empty == 100 {
			return io.ErrNoProgress
		}
	}
}

// flush writes what is to be passed.
func (in *packetReader) flush() error {
	if in.passed == in.begin {
		return nil
	}
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	return in.flushLocked()
}

func (in *packetReader) flushLocked() error {
	_, err := in.out.w.Write(in.buf[in.passed:in.begin])
	in.passed = in.begin
	return err
}

// pass passes n bytes: at once those that are not here yet, the others with what follows.
func (in *packetReader) pass(n int) error {
	if here := in.end - in.begin; n > here {
		return in.through(n)
	}
	in.begin += n
	return nil
}

// through passes a packet that has not all arrived, piece by piece.
func (in *packetReader) through(n int) error {
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	for {
		here := min(n, in.end-in.begin)
		in.begin += here
		if err := in.flushLocked(); err != nil {
			return err
		}
		if n -= here; n == 0 {
			return nil
		}
		in.begin, in.end, in.passed = 0, 0, 0
		if err := in.read(); err != nil {
			in.out.cut = true
			return in.within(err)
		}
	}
}

// take reads a packet of n bytes whole, and returns what is behind its head.
// Its length is believed only as its bytes arrive.
func (in *packetReader) take(n int) ([]byte, error) {
	if err := in.flush(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for {
		here := min(n, in.end-in.begin)
		b.Write(in.buf[in.begin : in.begin+here])
		in.begin += here
		in.passed = in.begin
		if n -= here; n == 0 {
			return b.Bytes()[headSize:], nil
		}
		in.begin, in.end, in.passed = 0, 0, 0
		if err := in.read(); err != nil {
			return nil, in.within(err)
		}
	}
}

// skip leaves out n bytes.
func (in *packetReader) skip(n int) error {
	if err := in.flush(); err != nil {
		return err
	}
	for {
		here := min(n, in.end-in.begin)
		in.begin += here
		in.passed = in.begin
		if n -= here; n == 0 {
			return nil
		}
		in.begin, in.end, in.passed = 0, 0, 0
		if err := in.read(); err != nil {
			return in.within(err)
		}
	}
}

func (in *packetReader) within(err error) error {
	in.cut = true
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the stream ended within a packet: %w", err)
}
