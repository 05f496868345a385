package relay

import (
	"context"
	"io"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
)

// pumped lends memory to the directions that pump.
var pumped = &buffer.Store{Size: 256 << 10}

// pump copies src to dst until src's end. Every read is passed on before the
// next, so that no byte waits for another.
func pump(ctx context.Context, f *flow, from Side, src io.Reader, to Side, dst io.Writer) *Error {
	buf := buffer.Adaptive{From: pumped}
	defer buf.Release()
	for {
		b := buf.Bytes()
		b = b[:len(b)/buffer.RecordPlain*buffer.RecordPlain]
		space := len(b)
		n, rerr := src.Read(b)
		for b = b[:n]; len(b) > 0; {
			ok, err := f.admit(ctx, f.piece(len(b)))
			if err != nil {
				return &Error{Here, "", err}
			}
			w, err := dst.Write(b[:ok])
			f.count(w)
			if err != nil {
				return &Error{to, "write", err}
			}
			b = b[ok:]
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return &Error{from, "read", rerr}
		}
		buf.Adapt(n, space, nil)
	}
}
