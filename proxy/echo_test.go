package proxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// startEcho listens where libvirt would.
func (h *testHost) startEcho() {
	h.T.Helper()
	l, err := net.Listen("unix", h.LibvirtSocket)
	if err != nil {
		h.T.Fatal(err)
	}
	var echoing sync.WaitGroup
	echoing.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			echoing.Go(func() {
				defer c.Close()
				for {
					call, err := readPacket(c)
					if err != nil {
						return
					}
					// A REPLY to AUTH_LIST: one way, which is none.
					reply := slices.Concat(call[:12], []byte{0, 0, 0, 1}, call[16:24], []byte{0, 0, 0, 1, 0, 0, 0, 0})
					if _, err := c.Write(packet(reply)); err != nil {
						return
					}
				}
			})
		}
	})
	h.T.Cleanup(func() {
		l.Close()
		echoing.Wait()
	})
}

// echo is a connection through h and its peer to the peer's libvirt.
func (h *testHost) echo(peer string) net.Conn {
	h.T.Helper()
	c, err := net.Dial("unix", h.Path("run/peers/"+peer+"/libvirt.sock"))
	if err != nil {
		h.T.Fatal(err)
	}
	h.T.Cleanup(func() { c.Close() })
	return c
}

// echoes asks libvirt at the other end of c for the ways to authenticate, and wants the answer.
func echoes(t *testing.T, c net.Conn, when string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	call := make([]byte, 0, 24)
	for _, word := range []uint32{0x20008086, 1, 66, 0, rand.Uint32() >> 1, 0} { // AUTH_LIST, a CALL, its serial
		call = binary.BigEndian.AppendUint32(call, word)
	}
	if _, err := c.Write(packet(call)); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	reply, err := readPacket(c)
	if err != nil || len(reply) != 32 || string(reply[16:20]) != string(call[16:20]) {
		t.Fatalf("%s: came back %x, %v", when, reply, err)
	}
}

// packet is a message of libvirt's with its length, which counts itself.
func packet(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b)+4)), b...)
}

func readPacket(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 28 || n > 1<<16 {
		return nil, fmt.Errorf("a packet of %d bytes", n)
	}
	b := make([]byte, n-4)
	_, err := io.ReadFull(r, b)
	return b, err
}
