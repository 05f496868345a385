package libvirtrpc

import (
	"encoding/binary"
	"fmt"
)

// Sizes of a packet's head, in bytes: its length, and six words behind it.
const (
	lengthSize = 4
	headSize   = lengthSize + 24
	serialAt   = lengthSize + 16
)

// MaxPacket is the longest packet, VIR_NET_MESSAGE_MAX and its length word, in bytes.
const MaxPacket = 32<<20 + lengthSize

// Programs.
const (
	ProgramRemote    = 0x20008086
	ProgramKeepalive = 0x6b656570
)

// A Type is what a packet is.
type Type uint32

// Values of Type.
const (
	TypeCall         Type = 0
	TypeReply        Type = 1
	TypeMessage      Type = 2
	TypeStream       Type = 3
	TypeCallWithFDs  Type = 4
	TypeReplyWithFDs Type = 5
	TypeStreamHole   Type = 6
)

// Values of Head.Status.
const (
	StatusOK       = 0
	StatusError    = 1
	StatusContinue = 2
)

// Head is a packet's head without its length.
type Head struct {
	Program, Version uint32
	Procedure        Procedure
	Type             Type
	Serial, Status   uint32
}

// parseLength reads and checks a packet's length, which counts itself.
func parseLength(b []byte) (int, error) {
	n := binary.BigEndian.Uint32(b)
	if n < headSize || n > MaxPacket {
		return 0, fmt.Errorf("a packet of libvirt's protocol claims %d bytes, where %d to %d are allowed", n, headSize, MaxPacket)
	}
	return int(n), nil
}

// ParseHead reads the words behind the length of a packet, of which at least those are in b.
func ParseHead(b []byte) Head {
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[lengthSize+4*i:]) }
	return Head{
		Program:   word(0),
		Version:   word(1),
		Procedure: Procedure(word(2)),
		Type:      Type(word(3)),
		Serial:    word(4),
		Status:    word(5),
	}
}

// packet is a whole packet.
func packet(h Head, body []byte) []byte {
	b := make([]byte, 0, headSize+len(body))
	for _, w := range []uint32{uint32(headSize + len(body)), h.Program, h.Version, uint32(h.Procedure), uint32(h.Type), h.Serial, h.Status} {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return append(b, body...)
}

// reply is the head of an answer to h.
func (h Head) reply(status uint32) Head {
	h.Type, h.Status = TypeReply, status
	return h
}
