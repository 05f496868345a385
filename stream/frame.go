package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// Longest frames, in bytes without the length word.
const (
	// MaxOpen bounds the frames that open a channel.
	MaxOpen = 64 << 10
	// MaxControl bounds the frames of a control channel that has been
	// accepted. libvirt's own strings, such as a guest's XML or a migration
	// cookie, may have 4 MiB each, and a call carries up to two.
	MaxControl = 9 << 20
)

// ErrFrame is wrapped by errors about a peer's frame that breaks the protocol.
var ErrFrame = errors.New("not a sluice frame")

// errTooLong: a frame of our own is longer than the peer would take. None of it has been sent.
var errTooLong = errors.New("too long for a frame")

type frameKind string

const (
	kindOpen   frameKind = "open"
	kindAccept frameKind = "accept"
	kindRefuse frameKind = "refuse"
	kindCall   frameKind = "call"
	kindReply  frameKind = "reply"
	kindPing   frameKind = "ping"
	kindFailed frameKind = "failed"
	kindEnd    frameKind = "end"
)

// frame is every frame's map; Kind says which of the others count. Keys that
// are absent are zero, keys that are unknown are skipped.
type frame struct {
	Kind frameKind `msgpack:"kind"`

	// open, accept
	Versions versions `msgpack:"versions,omitempty"` // open: what the opener speaks
	Version  int      `msgpack:"version,omitempty"`  // accept: what was chosen
	Host     string   `msgpack:"host,omitempty"`     // sender's name, for messages
	Channel  string   `msgpack:"channel,omitempty"`
	Number   int      `msgpack:"number,omitempty"` // of the channel within its kind
	Session  string   `msgpack:"session,omitempty"`
	Work     string   `msgpack:"work,omitempty"` // control: what the session is for
	Guest    string   `msgpack:"guest,omitempty"`
	UUID     string   `msgpack:"uuid,omitempty"`
	Clear    bool     `msgpack:"clear,omitempty"` // control: data channels without TLS
	Token    []byte   `msgpack:"token,omitempty"` // shown by channels in clear
	Idle     int      `msgpack:"idle,omitempty"`  // control: silence that the sender bears, in ms

	// call, reply; ask's open and accept
	Serial uint32             `msgpack:"serial,omitempty"`
	Name   string             `msgpack:"name,omitempty"`
	Body   msgpack.RawMessage `msgpack:"body,omitempty"` // decoded: one value, nil where absent

	// refuse, reply, failed, end
	Cause   *Cause `msgpack:"cause,omitempty"`
	Symptom bool   `msgpack:"symptom,omitempty"` // failed: the other end may know the reason

	held   int // bytes of memory
	memory *Memory
}

// release gives back the memory of a frame that is dealt with.
func (f *frame) release() {
	if f.held > 0 {
		f.memory.Give(f.held)
	}
}

// maxVersions is how many versions of the protocol an opener may offer.
const maxVersions = 32

// versions is bounded, for the msgpack library allocates 8 bytes for each byte
// that a list of small numbers takes in a frame.
type versions []int

// DecodeMsgpack implements msgpack.CustomDecoder.
func (v *versions) DecodeMsgpack(d *msgpack.Decoder) error {
	n, err := d.DecodeArrayLen()
	if err != nil {
		return err
	}
	if n > maxVersions {
		return fmt.Errorf("%d versions where %d are the most", n, maxVersions)
	}
	*v = nil
	for range n {
		one, err := d.DecodeInt()
		if err != nil {
			return err
		}
		*v = append(*v, one)
	}
	return nil
}

// encodeFrame is f as it goes over the wire.
func encodeFrame(f *frame, limit int) ([]byte, error) {
	body, err := msgpack.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode a frame of kind %s: %w", f.Kind, err)
	}
	if len(body) > limit {
		return nil, fmt.Errorf("encode a frame of kind %s: %d bytes where %d are the most: %w", f.Kind, len(body), limit, errTooLong)
	}
	buf := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	return append(buf, body...), nil
}

// writeFrame sends f in one Write.
func writeFrame(w io.Writer, f *frame, limit int) error {
	b, err := encodeFrame(f, limit)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// readFrame reads one frame of at most limit bytes, and not a byte beyond it. The length is checked
// before anything is allocated. io.EOF means that the stream ended between two frames.
func readFrame(r io.Reader, limit int) (*frame, error) { return readHeldFrame(r, limit, nil) }

// errMemory: a frame is longer than what is left of the memory for it.
var errMemory = errors.New("no memory is left for what this peer sends (limits.peer_memory)")

// readHeldFrame is readFrame, for a frame that takes its memory from m, if it is
// longer than any may be, until it is released.
func readHeldFrame(r io.Reader, limit int, m *Memory) (f *frame, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the stream ended within a frame's length: %w", err)
		}
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("a frame claims %d bytes where 1 to %d are allowed: %w", n, limit, ErrFrame)
	}
	held := 0
	if n > MaxOpen {
		if held = int(n); !m.Take(held) {
			return nil, fmt.Errorf("a frame of %d bytes: %w", n, errMemory)
		}
		defer func() {
			if err != nil {
				m.Give(held)
				return
			}
			f.held, f.memory = held, m
		}()
	}
	// A claimed length is only believed as its bytes arrive, and no more than that is held: a
	// bytes.Buffer would have room for twice as much as was taken.
	body := make([]byte, 0, min(int(n), 4<<10))
	for len(body) < int(n) {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(2*cap(body), int(n))), body...)
		}
		got, err := io.ReadFull(r, body[len(body):cap(body)])
		body = body[:len(body)+got]
		if err != nil {
			return nil, fmt.Errorf("the stream ended after %d of a frame's %d bytes: %w", len(body), n, noEOF(err))
		}
	}
	return decodeFrame(body)
}

func decodeFrame(body []byte) (*frame, error) {
	if err := checkShape(body); err != nil {
		return nil, err
	}
	f := new(frame)
	d := msgpack.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("a frame of %d bytes: %w: %w", len(body), ErrFrame, err)
	}
	if len(f.Body) == 0 { // absent, or nil: the library makes no difference
		f.Body = msgpack.RawMessage{msgpcode.Nil}
	}
	switch f.Kind {
	case kindOpen, kindAccept, kindRefuse, kindCall, kindReply, kindPing, kindFailed, kindEnd:
		return f, nil
	}
	return nil, fmt.Errorf("a frame of unknown kind %.20q: %w", string(f.Kind), ErrFrame)
}

// noEOF is err, with a plain io.EOF turned into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
