package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Capture is what passes by the link, as seen by one of its hosts.
type Capture struct {
	file    *os.File
	reading sync.WaitGroup
	packets []Packet
	err     error
}

// A Packet is a TCP segment, or many in one: the link takes them as large as the kernel makes them.
type Packet struct {
	From, To int // ports
	Payload  []byte
}

// captureBuffer is how much may wait to be read, in bytes as the kernel counts them.
const captureBuffer = 512 << 20

// Capture takes note of all that the host sends and receives by the link, in memory, until Stop.
func (h *Host) Capture(ctx context.Context) (*Capture, error) {
	c := new(Capture)
	err := h.apart("capture packets", func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		c.file = os.NewFile(uintptr(fd), "capture")
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		link, err := net.InterfaceByName(linkName)
		if err != nil {
			return err
		}
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}))
	})
	if err != nil {
		if c.file != nil {
			c.file.Close()
		}
		return nil, err
	}
	c.reading.Go(c.read)
	return c, nil
}

func (c *Capture) read() {
	buf := make([]byte, largestPacket)
	for {
		n, err := c.file.Read(buf)
		if err != nil {
			if !os.IsTimeout(err) {
				c.err = err
			}
			return
		}
		c.add(buf[:n])
	}
}

const largestPacket = 256 << 10

func (c *Capture) add(b []byte) {
	if p, ok := parseTCP(b); ok {
		p.Payload = append([]byte(nil), p.Payload...)
		c.packets = append(c.packets, p)
	}
}

// Stop returns the TCP packets that have passed. It is an error if some were lost to the capture.
func (c *Capture) Stop() ([]Packet, error) {
	defer c.file.Close()
	c.file.SetReadDeadline(time.Unix(1, 0))
	c.reading.Wait()
	raw, err := c.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var stats *unix.TpacketStats
	cerr := raw.Control(func(fd uintptr) {
		buf := make([]byte, largestPacket)
		for { // what waits to be read
			n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			if err != nil {
				break
			}
			c.add(buf[:n])
		}
		stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	switch {
	case cerr != nil:
		return nil, cerr
	case err != nil:
		return nil, os.NewSyscallError("getsockopt", err)
	case c.err != nil:
		return nil, c.err
	case stats.Drops > 0:
		return nil, fmt.Errorf("the capture lost %d packets of %d", stats.Drops, stats.Packets)
	}
	return c.packets, nil
}

// parseTCP reads the headers of an IP packet (RFC 791, RFC 8200 without extension headers, RFC
// 9293).
func parseTCP(b []byte) (p Packet, ok bool) {
	var header int
	switch {
	case len(b) < 40:
		return p, false
	case b[0]>>4 == 4 && b[9] == unix.IPPROTO_TCP:
		header = int(b[0]&15) * 4
	case b[0]>>4 == 6 && b[6] == unix.IPPROTO_TCP:
		header = 40
	default:
		return p, false
	}
	if len(b) < header+20 {
		return p, false
	}
	tcp := b[header:]
	data := int(tcp[12]>>4) * 4
	if len(tcp) < data {
		return p, false
	}
	return Packet{From: int(binary.BigEndian.Uint16(tcp)), To: int(binary.BigEndian.Uint16(tcp[2:])), Payload: tcp[data:]}, true
}

// SeenPages is how many of a guest's pages [Guest.Seen] looks for.
const SeenPages = 64

// Seen counts the guest's pages, of SeenPages, of which a part stands in one of the packets.
func (g *Guest) Seen(packets []Packet) (n int) {
	for _, pattern := range g.Patterns(SeenPages) {
		if slices.ContainsFunc(packets, func(p Packet) bool { return bytes.Contains(p.Payload, pattern) }) {
			n++
		}
	}
	return n
}

// Patterns are bytes of so many of the guest's pages, from all over its memory, which stand nowhere
// else.
func (g *Guest) Patterns(n int) [][]byte {
	pages := (g.Spec.MemoryMiB<<20 - guestBase) / guestPage
	var all [][]byte
	for i := range n {
		var b [guestPage]byte
		g.page(&b, uint32(guestBase+i*(pages/n)*guestPage))
		all = append(all, append([]byte(nil), b[1024:1088]...))
	}
	return all
}
