package virt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// rawPacket is one of libvirt's.
func rawPacket(program, procedure uint32, body string) []byte {
	var b []byte
	for _, word := range []uint32{uint32(packetHead + len(body)), program, 1, procedure, 0, 7, 0} {
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
	first, last := rawPacket(0x20008086, 66, "hello"), rawPacket(0x20008086, 1, "")
	answers := make(chan []byte)
	go func() {
		defer close(answers)
		for _, p := range [][]byte{first, rawPacket(libvirtrpc.ProgramKeepalive, keepAlivePing, ""), rawPacket(libvirtrpc.ProgramKeepalive, keepAlivePong, "x"), last} {
			b.Write(p)
			if bytes.Equal(p[4:8], []byte("keep")) && p[15] == keepAlivePing {
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
	want := rawPacket(libvirtrpc.ProgramKeepalive, keepAlivePong, "")
	want[19], want[23] = byte(libvirtrpc.TypeMessage), 0
	if answer := <-answers; !bytes.Equal(answer, want) {
		t.Errorf("a ping is answered by % x, want % x", answer, want)
	}
	if all := <-got; !bytes.Equal(all, append(first, last...)) {
		t.Errorf("read % x", all)
	}
	// A packet in pieces goes in one.
	out := make(chan []byte)
	go func() {
		buf := make([]byte, 1024)
		n, _ := b.Read(buf)
		out <- buf[:n]
	}()
	for i := range first {
		if _, err := c.Write(first[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if sent := <-out; !bytes.Equal(sent, first) {
		t.Errorf("sent % x", sent)
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
