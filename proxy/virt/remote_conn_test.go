package virt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// rawPacket is one of libvirt's.
func rawPacket(program, procedure uint32, kind libvirtrpc.Type, serial uint32, body string) []byte {
	var b []byte
	for _, word := range []uint32{uint32(packetHead + len(body)), program, 1, procedure, uint32(kind), serial, libvirtrpc.StatusOK} {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return append(b, body...)
}

// pieces reads what it may a byte at a time.
type pieces struct {
	net.Conn
	r io.Reader
}

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b) }

func TestPackets(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := &remoteConn{Conn: &pieces{a, iotest.OneByteReader(a)}}
	const feature, open = 60, 1
	call := rawPacket(libvirtrpc.ProgramRemote, feature, libvirtrpc.TypeCall, 7, "\x00\x00\x00\x0a")
	// A packet in pieces goes in one.
	out := make(chan []byte)
	go func() {
		buf := make([]byte, 1024)
		n, _ := b.Read(buf)
		out <- buf[:n]
	}()
	for i := range call {
		if _, err := c.Write(call[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if sent := <-out; !bytes.Equal(sent, call) {
		t.Errorf("sent % x", sent)
	}
	go io.CopyN(io.Discard, b, packetHead)
	c.Write(rawPacket(libvirtrpc.ProgramRemote, open, libvirtrpc.TypeCall, 8, ""))
	first := rawPacket(libvirtrpc.ProgramRemote, feature, libvirtrpc.TypeReply, 7, "\x00\x00\x00\x01")
	last := rawPacket(libvirtrpc.ProgramRemote, open, libvirtrpc.TypeReply, 8, "")
	event := rawPacket(libvirtrpc.ProgramRemote, 318, libvirtrpc.TypeMessage, 0, "an event")
	ping := rawPacket(libvirtrpc.ProgramKeepalive, keepAlivePing, libvirtrpc.TypeMessage, 0, "")
	answers := make(chan []byte)
	go func() {
		defer close(answers)
		for _, p := range [][]byte{first, ping, event, rawPacket(libvirtrpc.ProgramKeepalive, keepAlivePong, libvirtrpc.TypeMessage, 0, "x"), last} {
			b.Write(p)
			if &p[0] == &ping[0] {
				answer := make([]byte, packetHead)
				io.ReadFull(b, answer)
				answers <- answer
			}
		}
	}()
	got := make(chan []byte)
	go func() {
		all := make([]byte, len(first)+len(last))
		io.ReadFull(c, all)
		got <- all
	}()
	want := rawPacket(libvirtrpc.ProgramKeepalive, keepAlivePong, libvirtrpc.TypeMessage, 0, "")
	if answer := <-answers; !bytes.Equal(answer, want) {
		t.Errorf("a ping is answered by % x, want % x", answer, want)
	}
	if all := <-got; !bytes.Equal(all, append(first, last...)) {
		t.Errorf("read % x", all)
	}
}

func TestPacketOfNoLength(t *testing.T) {
	for _, length := range []uint32{0, packetHead - 1, longestPacket + 1} {
		a, b := net.Pipe()
		go b.Write(append(binary.BigEndian.AppendUint32(nil, length), make([]byte, packetHead-4)...))
		if _, err := (&remoteConn{Conn: a}).Read(make([]byte, 64)); !errors.Is(err, errPacket) {
			t.Errorf("length %d: %v", length, err)
		}
		b.Close()
	}
}

// What no libvirt answers ends the connection, and says so, before go-libvirt makes room for what it
// claims.
func TestPacketsOfNoLibvirt(t *testing.T) {
	const jobStats, open = 298, 1
	remote, reply := uint32(libvirtrpc.ProgramRemote), libvirtrpc.TypeReply
	for name, c := range map[string]struct {
		packet []byte
		says   string
	}{
		"2^31 parameters":  {rawPacket(remote, jobStats, reply, 7, "\x00\x00\x00\x01\x7f\xff\xff\xff"), "2147483647 parameters where 64 are the most"},
		"another call's":   {rawPacket(remote, open, reply, 7, ""), "libvirt answers CONNECT_OPEN (procedure 1) to a call of"},
		"no call's":        {rawPacket(remote, jobStats, reply, 8, ""), "it answers no call"},
		"more than it has": {rawPacket(remote, jobStats, reply, 7, "\x00\x00\x00\x01\x00\x00\x00\x00more"), "4 bytes follow its end"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			defer b.Close()
			conn := &remoteConn{Conn: a}
			go io.CopyN(io.Discard, b, packetHead)
			conn.Write(rawPacket(remote, jobStats, libvirtrpc.TypeCall, 7, ""))
			go b.Write(c.packet)
			n, err := conn.Read(make([]byte, 64))
			if n != 0 || !errors.Is(err, errPacket) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%d bytes, %v: want %q", n, err, c.says)
			}
		})
	}
}
