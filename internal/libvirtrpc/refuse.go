// Package libvirtrpc speaks as much of libvirt's remote protocol as sluice
// needs itself. Format: libvirt's src/rpc/virnetprotocol.x; XDR is RFC 4506.
package libvirtrpc

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Sizes of a packet's head, in bytes: its length, and six words behind it.
const (
	lengthSize = 4
	headSize   = lengthSize + 24
)

// maxPacket is the longest packet of libvirt's, VIR_NET_MESSAGE_MAX, in bytes.
const maxPacket = 32 << 20

// Values of a packet's head.
const (
	typeCall    = 0
	typeReply   = 1
	statusError = 1
)

// Refuse answers a client's first call with a libvirt error of the given
// words, so that virsh prints them. It returns once the client has closed its
// connection, or after patience; the caller closes c.
func Refuse(c net.Conn, patience time.Duration, message string) error {
	c.SetDeadline(time.Now().Add(patience))
	var head [headSize]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return fmt.Errorf("read a libvirt client's first packet: %w", err)
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(head[lengthSize+4*i:]) }
	n := binary.BigEndian.Uint32(head[:])
	if n < headSize || n > maxPacket || word(3) != typeCall {
		return fmt.Errorf("a libvirt client's first packet of %d bytes and type %d is no call", n, word(3))
	}
	reply := make([]byte, lengthSize)
	for _, w := range []uint32{word(0), word(1), word(2), typeReply, word(4), statusError} {
		reply = binary.BigEndian.AppendUint32(reply, w)
	}
	reply = appendError(reply, message)
	binary.BigEndian.PutUint32(reply, uint32(len(reply)))
	if _, err := c.Write(reply); err != nil {
		return fmt.Errorf("answer a libvirt client: %w", err)
	}
	// Closing with the rest of the call unread would take our answer along.
	io.Copy(io.Discard, io.LimitReader(c, maxPacket))
	return nil
}

// Of enums virErrorNumber, virErrorDomain and virErrorLevel.
const (
	errRPC     = 39 // VIR_ERR_RPC
	fromRPC    = 7  // VIR_FROM_RPC
	levelError = 2
)

// appendError appends virNetMessageError: code, domain, the message, level,
// and nothing else of what it may hold.
func appendError(b []byte, message string) []byte {
	word := func(w uint32) { b = binary.BigEndian.AppendUint32(b, w) }
	word(errRPC)
	word(fromRPC)
	word(1) // message
	word(uint32(len(message)))
	b = append(b, message...)
	b = append(b, make([]byte, -len(message)&3)...)
	word(levelError)
	for range 4 { // dom, str1, str2, str3
		word(0)
	}
	word(0) // int1
	word(0) // int2
	word(0) // net
	return b
}
