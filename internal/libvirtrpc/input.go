package libvirtrpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// sender writes packets to one side, each undivided.
type sender struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sender) packet(h Head, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.w.Write(packet(h, body))
	return err
}

// input takes packets from one side. Those that pass go to the other side out
// of the buffer into which they were read, many with one write.
type input struct {
	src io.Reader
	out *sender

	buf        []byte
	begin, end int // what was read and not taken yet
	passed     int // buf[passed:begin] is to be passed, and has not been yet
	err        error
}

func newInput(src io.Reader, out *sender) *input {
	return &input{src: src, out: out, buf: make([]byte, bufferSize)}
}

// head looks at the next packet: its head and its length with it, in bytes.
// The caller then passes, takes or skips it. io.EOF means that the stream
// ended between two packets.
func (in *input) head() (Head, int, error) {
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
	return parseHead(in.buf[in.begin:]), n, nil
}

// need reads until n bytes, at most bufferSize, are there. Nothing that may
// pass waits for that.
func (in *input) need(n int) error {
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
func (in *input) read() error {
	for empty := 0; ; empty++ {
		if in.err != nil {
			return in.err
		}
		n, err := in.src.Read(in.buf[in.end:])
		in.end, in.err = in.end+n, err
		if n > 0 {
			return nil
		}
		if empty == 100 {
			return io.ErrNoProgress
		}
	}
}

// flush writes what is to be passed.
func (in *input) flush() error {
	if in.passed == in.begin {
		return nil
	}
	in.out.mu.Lock()
	defer in.out.mu.Unlock()
	return in.flushLocked()
}

func (in *input) flushLocked() error {
	_, err := in.out.w.Write(in.buf[in.passed:in.begin])
	in.passed = in.begin
	return err
}

// pass passes n bytes: at once those that are not here yet, the others with
// what follows.
func (in *input) pass(n int) error {
	if here := in.end - in.begin; n > here {
		return in.through(n)
	}
	in.begin += n
	return nil
}

// through passes a packet that has not all arrived, piece by piece.
func (in *input) through(n int) error {
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
			return within(err)
		}
	}
}

// take reads a packet of n bytes whole, and returns what is behind its head.
// Its length is believed only as its bytes arrive.
func (in *input) take(n int) ([]byte, error) {
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
			return nil, within(err)
		}
	}
}

// skip leaves out n bytes.
func (in *input) skip(n int) error {
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
			return within(err)
		}
	}
}

func within(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the stream ended within a packet: %w", err)
}
