package virt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// remoteConn is a connection with another host's libvirtd, for go-libvirt, which would make room
// for any length that a packet claims, or a value in one, and does not answer libvirtd's signs of
// life. So it is shown replies to its calls alone, whole ones that have been checked. libvirtd asks
// for those once it is asked whether it knows keepalive (featureKeepAlive), and ends a connection
// of which it hears nothing (keepalive_interval and keepalive_count in libvirtd.conf: 30 seconds),
// and with it a guest that was prepared.
//
// The packets are those of src/rpc/virnetprotocol.x: a length that counts
// itself, and six words of header.
type remoteConn struct {
	net.Conn

	rest []byte // of a packet, for Read

	writing sync.Mutex
	out     []byte                          // of a packet whose end has not been written yet
	asked   map[uint32]libvirtrpc.Procedure // calls without a reply, by serial
}

// NewRemoteConn speaks with another host's libvirtd, and has it send its signs of life.
func NewRemoteConn(ctx context.Context, c net.Conn) (*Conn, error) {
	v, err := newConn(ctx, &remoteConn{Conn: c}, libvirt.QEMUSystem)
	if err != nil {
		return nil, err
	}
	err = v.Bound(ctx, func() error {
		_, err := v.ConnectSupportsFeature(featureKeepAlive)
		return err
	})
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

const (
	packetHead    = 28
	longestPacket = 33554432 + 4 // VIR_NET_MESSAGE_MAX

	featureKeepAlive = 10 // VIR_DRV_FEATURE_PROGRAM_KEEPALIVE
	keepAlivePing    = 1
	keepAlivePong    = 2
)

// errPacket: whoever it is, it is not libvirt.
var errPacket = errors.New("a packet came that libvirt does not send")

// Read returns replies. Signs of life are answered, and events, which nobody has asked for, dropped.
func (c *remoteConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		packet, err := c.packet()
		if err != nil {
			c.Conn.Close()
			return 0, err
		}
		switch h := libvirtrpc.ParseHead(packet); {
		case h.Program == libvirtrpc.ProgramKeepalive:
			if h.Procedure == keepAlivePing {
				err = c.pong()
			}
		case h.Program == libvirtrpc.ProgramRemote && h.Type == libvirtrpc.TypeReply:
			if err = c.answered(h, packet[packetHead:]); err == nil {
				c.rest = packet
			}
		}
		if err != nil {
			c.Conn.Close()
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// packet reads the next one. Its length is only believed as its bytes arrive.
func (c *remoteConn) packet() ([]byte, error) {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, c.Conn, packetHead); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(b.Bytes())
	if length < packetHead || length > longestPacket {
		return nil, fmt.Errorf("%w: it claims %d bytes", errPacket, length)
	}
	_, err := io.CopyN(&b, c.Conn, int64(length-packetHead))
	return b.Bytes(), err
}

// answered takes the reply to a call that was made.
func (c *remoteConn) answered(h libvirtrpc.Head, body []byte) error {
	c.writing.Lock()
	asked, is := c.asked[h.Serial]
	delete(c.asked, h.Serial)
	c.writing.Unlock()
	if !is {
		return fmt.Errorf("%w: it answers no call", errPacket)
	}
	if err := libvirtrpc.CheckReply(asked, h, body); err != nil {
		return fmt.Errorf("%w: %w", errPacket, err)
	}
	return nil
}

func (c *remoteConn) pong() error {
	var b []byte
	for _, word := range []uint32{packetHead, libvirtrpc.ProgramKeepalive, 1, keepAlivePong, uint32(libvirtrpc.TypeMessage), 0, 0} {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.Conn.Write(b)
	return err
}

// Write writes whole packets, so that none is cut in two by an answer to
// keepalive. What is no whole packet yet waits for the rest.
func (c *remoteConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = append(c.out, p...)
	whole := 0
	for len(c.out)-whole >= 4 {
		length := int(binary.BigEndian.Uint32(c.out[whole:]))
		if length < packetHead {
			return 0, errPacket
		}
		if len(c.out)-whole < length {
			break
		}
		if h := libvirtrpc.ParseHead(c.out[whole:]); h.Type == libvirtrpc.TypeCall {
			if c.asked == nil {
				c.asked = make(map[uint32]libvirtrpc.Procedure)
			}
			c.asked[h.Serial] = h.Procedure
		}
		whole += length
	}
	if whole > 0 {
		if _, err := c.Conn.Write(c.out[:whole]); err != nil {
			return 0, err
		}
		c.out = append([]byte(nil), c.out[whole:]...)
	}
	return len(p), nil
}
