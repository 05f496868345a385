package relay

import (
	"io"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
)

// Buffers are a part of the memory that relays borrow to read into: a session's, say. It is lent to
// those that have something to read, and for which there is room where it goes.
type Buffers = buffer.Share

// NewBuffers returns so many bytes of other Buffers, nil for all that there is.
func NewBuffers(of *Buffers, most int64) *Buffers { return buffer.NewShare(of, most) }

// pumped lends memory to the directions that pump.
var pumped = &buffer.Store{Size: 256 << 10}

// source is where a direction's bytes come from, and sink where they go. The sockets
// are nil where there is no plain one below.
type source struct {
	side Side
	io.Reader
	socket *socket
}

type sink struct {
	side Side
	io.Writer
	socket *socket
}

// pump copies a direction until its end. Every read is passed on before the next, so that no byte
// waits for another. It grows only where it is told what there is to read.
func (r *run) pump(f *flow, from source, to sink) *Error {
	var buf buffer.Adaptive
	if from.socket != nil {
		buf.From, buf.Share = pumped, r.share
	}
	defer buf.Release()
	for {
		most, err := to.socket.Room(func() {
			buf.Idle(nil)
			from.idle()
		})
		if err != nil {
			return &Error{to.side, "write", err}
		}
		if buf.Grown() {
			buf.Idle(nil)
			if err := from.wait(); err != nil {
				return &Error{from.side, "read", err}
			}
		}
		from.hold(most)
		b := buf.Bytes()
		b = b[:len(b)/buffer.RecordPlain*buffer.RecordPlain]
		b = b[:min(len(b), most)]
		space := len(b)
		n, rerr := from.Read(b)
		for b = b[:n]; len(b) > 0; {
			ok, err := f.admit(r.ctx, f.piece(len(b)))
			if err != nil {
				return &Error{Here, "", err}
			}
			w, err := to.Write(b[:ok])
			f.count(w)
			if err != nil {
				return &Error{to.side, "write", err}
			}
			b = b[ok:]
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return &Error{from.side, "read", rerr}
		}
		buf.Adapt(n, space, nil)
	}
}

// wait waits until there is something to read.
func (s source) wait() error {
	if g, ok := s.Reader.(*gather); ok && g.more() {
		return nil
	}
	s.idle()
	return s.socket.Readable()
}

// idle gives back what a tls.Conn's reading has borrowed.
func (s source) idle() {
	if g, ok := s.Reader.(*gather); ok {
		g.c.transport.Idle()
	}
}

// hold has a tls.Conn read ahead no more than there is room for.
func (s source) hold(n int) {
	if g, ok := s.Reader.(*gather); ok {
		g.c.transport.Hold(n)
	}
}
