package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"runtime"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// allocated is the least that f allocates of a few times, in bytes: others may
// be allocating meanwhile.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
		if least < 1<<10 {
			break
		}
	}
	return least
}

// allowance is what decoding n bytes may allocate at most: the strings and
// bodies once, as the library reads them once more, as its buffers grow twice.
func allowance(n int) uint64 { return 16<<10 + 16*uint64(n) }

func seed(f *testing.F, add func(body []byte)) {
	for _, one := range frames() {
		b, err := encodeFrame(one, MaxOpen)
		if err != nil {
			f.Fatal(err)
		}
		add(b[4:])
	}
	for _, bad := range badBodies {
		add(bad.body)
	}
}

// FuzzDecodeFrame: whatever decodes comes back the same once encoded, and
// nothing makes decoding panic or allocate more than the input warrants.
func FuzzDecodeFrame(f *testing.F) {
	seed(f, func(body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeFrame(body)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("%v is no ErrFrame", err)
			}
			if got != nil {
				t.Fatalf("%+v with %v", got, err)
			}
		}
		if n := allocated(func() { decodeFrame(body) }); n > allowance(len(body)) {
			t.Fatalf("%d bytes allocated for %d", n, len(body))
		}
		if err != nil {
			return
		}
		wire, err := encodeFrame(got, MaxControl)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readFrame(bytes.NewReader(wire), MaxControl)
		if err != nil {
			t.Fatalf("%+v was encoded to what is refused: %v", got, err)
		}
		if !reflect.DeepEqual(normal(got), normal(again)) {
			t.Fatalf("%+v came back as %+v", got, again)
		}
	})
}

// normal is f with empty and absent made one, as they are on the wire.
func normal(f *frame) frame {
	n := *f
	if len(n.Versions) == 0 {
		n.Versions = nil
	}
	if len(n.Token) == 0 {
		n.Token = nil
	}
	if len(n.Body) == 0 {
		n.Body = msgpack.RawMessage{0xc0}
	}
	return n
}

// FuzzReadFrame: a stream is read up to the frame's last byte and no further.
func FuzzReadFrame(f *testing.F) {
	seed(f, func(body []byte) {
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))+1), body...))
	})
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bytes.NewReader(wire)
		got, err := readFrame(r, MaxOpen)
		read := len(wire) - r.Len()
		switch {
		case len(wire) < 4:
			if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("error %v for %d bytes", err, len(wire))
			}
		case binary.BigEndian.Uint32(wire) > MaxOpen, binary.BigEndian.Uint32(wire) == 0:
			if read != 4 || !errors.Is(err, ErrFrame) {
				t.Fatalf("%d bytes read, error %v", read, err)
			}
		default:
			if want := min(len(wire), 4+int(binary.BigEndian.Uint32(wire))); read != want {
				t.Fatalf("%d bytes read, want %d", read, want)
			}
		}
		if (got == nil) == (err == nil) {
			t.Fatalf("%+v and %v", got, err)
		}
	})
}

// FuzzCheckShape: what checkShape accepts is exactly one value to the msgpack
// library too, which neither panics nor allocates more than the input warrants
// when it decodes it, whatever the target.
func FuzzCheckShape(f *testing.F) {
	seed(f, func(body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkShape(b) != nil {
			if err := exactly(b); err == nil && depth(b) <= maxDepth && isMap(b) {
				t.Fatal("refused, but the library takes it as one map")
			}
			return
		}
		if err := exactly(b); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		for _, target := range []func() any{
			func() any { return new(frame) },
			func() any { return new(Cause) },
			func() any { return new(any) },
			func() any { return new(map[string]any) },
			func() any { return new(map[string]string) },
			func() any { return new(msgpack.RawMessage) },
			func() any { return new(struct{ Body, Versions []string }) },
		} {
			// A value of one byte becomes an interface of 16, or two of them and a share of a map.
			if n := allocated(func() { msgpack.Unmarshal(b, target()) }); n > 16<<10+256*uint64(len(b)) {
				t.Fatalf("%d bytes allocated for %d into a %T", n, len(b), target())
			}
		}
	})
}

// exactly says whether b is one value by the library's own reading.
func exactly(b []byte) error {
	r := bytes.NewReader(b)
	if err := msgpack.NewDecoder(r).Skip(); err != nil {
		return err
	}
	if r.Len() > 0 {
		return errors.New("more than one value")
	}
	return nil
}

func isMap(b []byte) bool {
	return len(b) > 0 && (b[0]&0xf0 == 0x80 || b[0] == 0xde || b[0] == 0xdf)
}

// depth is how deep b, which is whole, nests containers that hold something.
func depth(b []byte) int {
	d, _ := depthOf(b)
	return d
}

func depthOf(b []byte) (deepest int, rest []byte) {
	size, values, err := outline(b)
	if err != nil {
		panic(err)
	}
	rest = b[size:]
	if values == 0 {
		return 0, rest
	}
	for range values {
		var d int
		d, rest = depthOf(rest)
		deepest = max(deepest, d)
	}
	return deepest + 1, rest
}
