package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vmihailenco/msgpack/v5"
)

// frames are of every kind, with every key that it may have.
func frames() map[string]*frame {
	body, err := msgpack.Marshal(map[string]any{"xml": "<domain/>", "flags": []int{1, 2, 3}})
	if err != nil {
		panic(err)
	}
	cause := &Cause{Code: CodeLocal, Host: "host-b", Channel: "memory-0", Text: "it broke"}
	return map[string]*frame{
		"open control": {Kind: kindOpen, Versions: versions{1, 2, 300}, Host: "host-a", Channel: channelControl, Session: strings.Repeat("0f", 16),
			Work: "migrate", Guest: "web", UUID: "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb", Clear: true, Idle: 30000},
		"open channel":   {Kind: kindOpen, Versions: versions{1}, Host: "host-a", Channel: ChannelMemory, Number: 63, Session: strings.Repeat("0f", 16), Token: bytes.Repeat([]byte{7}, 32)},
		"open ask":       {Kind: kindOpen, Versions: versions{1}, Host: "host-a", Channel: channelAsk, Name: "hello", Body: body},
		"accept control": {Kind: kindAccept, Version: 1, Host: "host-b", Token: bytes.Repeat([]byte{7}, 32), Idle: 1},
		"accept ask":     {Kind: kindAccept, Version: 1, Host: "host-b", Body: body},
		"refuse":         {Kind: kindRefuse, Host: "host-b", Cause: cause},
		"call":           {Kind: kindCall, Serial: 1<<32 - 1, Name: "prepare", Body: body},
		"reply":          {Kind: kindReply, Serial: 1, Body: body},
		"reply nothing":  {Kind: kindReply, Serial: 1, Body: []byte{0xc0}},
		"reply error":    {Kind: kindReply, Serial: 1, Cause: cause},
		"ping":           {Kind: kindPing},
		"failed":         {Kind: kindFailed, Cause: cause, Symptom: true},
		"end":            {Kind: kindEnd, Cause: &Cause{Code: CodeDone, Host: "host-a", Text: "done"}},
	}
}

func TestFrame_comesBack(t *testing.T) {
	for name, f := range frames() {
		t.Run(name, func(t *testing.T) {
			var wire bytes.Buffer
			if err := writeFrame(&wire, f, MaxOpen); err != nil {
				t.Fatal(err)
			}
			wire.WriteString("raw bytes")
			got, err := readFrame(iotest.OneByteReader(&wire), MaxOpen)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(normal(got), normal(f)) {
				t.Errorf("got %+v, want %+v", got, f)
			}
			if rest := wire.String(); rest != "raw bytes" {
				t.Errorf("%q is left of what follows the frame", rest)
			}
		})
	}
}

func TestFrame_lengths(t *testing.T) {
	// What a frame of this name has besides its name, which is a str 16.
	empty, err := encodeFrame(&frame{Kind: kindCall, Name: strings.Repeat("x", 256)}, MaxOpen)
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []int{-1, 0, 1} {
		f := &frame{Kind: kindCall, Name: strings.Repeat("x", 256+1024-(len(empty)-4)+more)}
		var wire bytes.Buffer
		err := writeFrame(&wire, f, 1024)
		if more <= 0 {
			if err != nil {
				t.Errorf("%d bytes of 1024: %v", 1024+more, err)
			} else if _, err := readFrame(&wire, 1024); err != nil {
				t.Errorf("%d bytes of 1024: %v", 1024+more, err)
			}
			continue
		}
		if !errors.Is(err, errTooLong) || wire.Len() != 0 {
			t.Errorf("%d bytes of 1024: error %v, %d bytes written", 1024+more, err, wire.Len())
		}
		if err := writeFrame(&wire, f, MaxOpen); err != nil {
			t.Fatal(err)
		}
		if _, err := readFrame(&wire, 1024); !errors.Is(err, ErrFrame) {
			t.Errorf("%d bytes of 1024: error %v, want ErrFrame", 1024+more, err)
		}
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// badBodies are frames without their length.
var badBodies = []struct {
	name string
	body []byte
	want string
}{
	{"nil", unhex("c0"), "no msgpack map"},
	{"number", unhex("01"), "no msgpack map"},
	{"array", unhex("91 a4 6f70656e"), "no msgpack map"},
	{"empty map", unhex("80"), "unknown kind"},
	{"no kind", unhex("81 a4 686f7374 a1 61"), "unknown kind"},
	{"unknown kind", append(unhex("81 a4 6b696e64 a5"), "hello"...), `unknown kind "hello"`},
	{"kind is a number", unhex("81 a4 6b696e64 01"), "not a sluice frame"},
	{"key is a number", unhex("81 01 01"), "not a sluice frame"},
	{"map lacks a value", unhex("81 a4 6b696e64"), "a value is missing"},
	{"map claims more", unhex("82 a1 61 01"), "claims 4 values"},
	{"map claims 2^32-1", unhex("df ffffffff"), "claims 8589934590 values"},
	{"map 32 cut short", unhex("df ffff"), "cut short"},
	{"string claims 2^32-1", unhex("81 db ffffffff 61"), "claims 4294967300 bytes of 6"},
	{"bin claims more", unhex("81 a1 61 c4 05 01"), "claims 7 bytes of 3"},
	{"ext claims more", unhex("81 a1 61 c7 05 01"), "claims 8 bytes of 3"},
	{"never used code", unhex("81 a1 61 c1"), "0xc1 begins no msgpack value"},
	{"bytes behind", unhex("81 a4 6b696e64 a4 70696e67 00"), "1 bytes behind"},
	{"too deep", append(bytes.Repeat(unhex("81 a1 61"), 9), 0xc0), "deeper than 8"},
	{"33 versions", append(append(unhex("82 a4 6b696e64 a4 6f70656e a8"), "versions"...), append(unhex("dc 0021"), make([]byte, 33)...)...), "33 versions where 32 are the most"},
}

func TestFrame_refusesBadBodies(t *testing.T) {
	for _, test := range badBodies {
		t.Run(test.name, func(t *testing.T) {
			_, err := decodeFrame(test.body)
			if !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want ErrFrame and %q", err, test.want)
			}
		})
	}
	for _, depth := range []int{8, 9} { // maps, the frame's own among them
		body := append(append(unhex("82 a4 6b696e64 a4 70696e67 a1 61"), bytes.Repeat(unhex("81 a1 61"), depth-1)...), 0xc0)
		if _, err := decodeFrame(body); (err == nil) != (depth <= maxDepth) {
			t.Errorf("depth %d: error %v", depth, err)
		}
	}
}

func TestFrame_unknownKeysAreSkipped(t *testing.T) {
	body, err := msgpack.Marshal(map[string]any{"kind": "ping", "colour": map[string]any{"red": []int{1, 2}}, "time": 1.5})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := decodeFrame(body); err != nil || f.Kind != kindPing {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestReadFrame_ends(t *testing.T) {
	ping, err := encodeFrame(&frame{Kind: kindPing}, MaxOpen)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, test := range []struct {
		name string
		r    io.Reader
		want error
	}{
		{"between frames", bytes.NewReader(nil), io.EOF},
		{"in the length", bytes.NewReader(ping[:3]), io.ErrUnexpectedEOF},
		{"after the length", bytes.NewReader(ping[:4]), io.ErrUnexpectedEOF},
		{"in the body", bytes.NewReader(ping[:len(ping)-1]), io.ErrUnexpectedEOF},
		{"error between frames", iotest.ErrReader(broken), broken},
		{"error in the length", io.MultiReader(bytes.NewReader(ping[:2]), iotest.ErrReader(broken)), broken},
		{"error in the body", io.MultiReader(bytes.NewReader(ping[:6]), iotest.ErrReader(broken)), broken},
		{"no length", bytes.NewReader(make([]byte, 4)), ErrFrame},
		{"all of 32 bits", bytes.NewReader(bytes.Repeat([]byte{0xff}, 8)), ErrFrame},
		{"one too many", bytes.NewReader(binary.BigEndian.AppendUint32(nil, MaxOpen+1)), ErrFrame},
	} {
		t.Run(test.name, func(t *testing.T) {
			if f, err := readFrame(test.r, MaxOpen); !errors.Is(err, test.want) || f != nil {
				t.Errorf("%v, %v, want %v", f, err, test.want)
			}
		})
	}
}

// A claimed length costs nothing until its bytes are there.
func TestReadFrame_allocatesWhatArrives(t *testing.T) {
	claim := append(binary.BigEndian.AppendUint32(nil, MaxControl), make([]byte, 100)...)
	least := allocated(func() { readFrame(bytes.NewReader(claim), MaxControl) })
	if least > 64<<10 {
		t.Errorf("%d bytes allocated for 100 bytes that claim to be %d", least, MaxControl)
	}
}
