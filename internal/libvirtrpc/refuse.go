package libvirtrpc

import (
	"fmt"
	"io"
	"net"
	"time"
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
	if _, err := parseLength(head[:]); err != nil {
		return err
	}
	h := ParseHead(head[:])
	if h.Type != TypeCall {
		return fmt.Errorf("a libvirt client's first packet, of type %d, is no call", h.Type)
	}
	answer := packet(h.reply(StatusError), (&Error{ErrRPC, message}).encode())
	if _, err := c.Write(answer); err != nil {
		return fmt.Errorf("answer a libvirt client: %w", err)
	}
	// Closing with the rest of the call unread would take our answer along.
	io.Copy(io.Discard, io.LimitReader(c, MaxPacket))
	return nil
}
