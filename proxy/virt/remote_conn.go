package virt

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// remoteConn is a connection with another host's libvirtd, for go-libvirt, which would make room
// for any length that a packet claims, and does not answer libvirtd's signs of life. libvirtd asks
// for those once it is asked whether it knows keepalive (featureKeepAlive), and ends a connection
// of which it hears nothing (keepalive_interval and keepalive_count in libvirtd.conf: 30 seconds),
// and with it a guest that was prepared.
//
// The packets are those of src/rpc/virnetprotocol.x: a length that counts
// itself, and six words of header.
type remoteConn struct {
	net.Conn

	rest []byte // of the packet's start, for Read
	left uint32 // of its body, still to come

	writing sync.Mutex
	out     []byte // of a packet whose end has not been written yet
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
var errPacket = errors.New("the packet's length is not one that libvirt sends")

// Read returns packets but for those of keepalive, which it answers.
func (c *remoteConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 && c.left == 0 {
		head := make([]byte, packetHead)
		if _, err := io.ReadFull(c.Conn, head); err != nil {
			return 0, err
		}
		length := binary.BigEndian.Uint32(head)
		if length < packetHead || length > longestPacket {
			c.Conn.Close()
			return 0, errPacket
		}
		c.rest, c.left = head, length-packetHead
		if binary.BigEndian.Uint32(head[4:]) != libvirtrpc.ProgramKeepalive {
			break
		}
		if _, err := io.CopyN(io.Discard, c.Conn, int64(c.left)); err != nil {
			return 0, err
		}
		c.rest, c.left = nil, 0
		if binary.BigEndian.Uint32(head[12:]) == keepAlivePing {
			if err := c.pong(); err != nil {
				return 0, err
			}
		}
	}
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(uint32(len(p)), c.left)])
	c.left -= uint32(n)
	return n, err
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
