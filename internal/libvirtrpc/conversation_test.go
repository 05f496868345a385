package libvirtrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// Calls and their replies pass whole, whatever their length, each with a serial of its side's.
func TestPassesUntouched(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	bodies := make([][]byte, 200)
	for i := range bodies {
		size := []int{0, 1, 4, 100, bufferSize - headSize - 1, bufferSize - headSize, bufferSize - headSize + 1, 3*bufferSize + 5}[i%8]
		bodies[i] = make([]byte, size)
		random.Read(bodies[i])
	}
	r := newRig(t, testRules{})
	serial := func(i int) uint32 { return uint32(1<<32 - 1 - 3*i) }
	go func() {
		for i, body := range bodies {
			r.client.Write(packet(Head{ProgramRemote, 1, Procedure(1 + i%900), TypeCall, serial(i), StatusOK}, body))
		}
	}()
	go func() { // the daemon says the same
		used := map[uint32]bool{}
		for i, body := range bodies {
			h, got := readPacket(t, r.server)
			if !bytes.Equal(got, body) || h.Procedure != Procedure(1+i%900) || used[h.Serial] {
				t.Errorf("call %d comes as %+v with %d bytes", i, h, len(got))
			}
			used[h.Serial] = true
			r.server.Write(packet(h.reply(StatusOK), got))
		}
		r.server.CloseWrite()
	}()
	for i, body := range bodies {
		h, got := readPacket(t, r.client)
		if want := (Head{ProgramRemote, 1, Procedure(1 + i%900), TypeReply, serial(i), StatusOK}); !bytes.Equal(got, body) || h != want {
			t.Fatalf("the reply to call %d comes as %+v with %d bytes", i, h, len(got))
		}
	}
	if n, err := r.client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes behind, %v", n, err)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestCallsInOneWrite(t *testing.T) {
	const n = 10000
	r := newRig(t, testRules{})
	var sent []byte
	for i := range n {
		sent = append(sent, call(Procedure(1000+i%5), uint32(i), "body")...)
	}
	go func() {
		r.client.Write(sent)
		r.client.CloseWrite()
	}()
	// The daemon answers every call with its procedure's number.
	go func() {
		defer r.server.CloseWrite()
		for {
			var length [lengthSize]byte
			if _, err := io.ReadFull(r.server, length[:]); err != nil {
				return
			}
			b := make([]byte, binary.BigEndian.Uint32(length[:])-lengthSize)
			if _, err := io.ReadFull(r.server, b); err != nil {
				return
			}
			h := ParseHead(append(length[:], b...))
			want := "body"
			if h.Procedure == 2003 {
				want = "new.body"
			}
			if string(b[headSize-lengthSize:]) != want {
				t.Errorf("the daemon was sent %q by %v", b, h)
			}
			var w writer
			w.uint(uint32(h.Procedure))
			if _, err := r.server.Write(packet(h.reply(StatusOK), w.b)); err != nil {
				return
			}
		}
	}()
	seen := make([]bool, n)
	for range n {
		h, body := readPacket(t, r.client)
		procedure := Procedure(1000 + h.Serial%5)
		if h.Procedure != procedure || seen[h.Serial] || h.Type != TypeReply {
			t.Fatalf("a reply %+v", h)
		}
		seen[h.Serial] = true
		switch procedure {
		case 1001:
			if e, err := DecodeError(body); err != nil || h.Status != StatusError || e.Message != "access denied: 1001" {
				t.Fatalf("%v %v", e, err)
			}
		case 1002:
			if string(body) != "answer.." {
				t.Fatalf("%q", body)
			}
		case 1003:
			if string(body) != "seen\x00\x00\x07\xd3" {
				t.Fatalf("%q", body)
			}
		default:
			if binary.BigEndian.Uint32(body) != uint32(procedure) {
				t.Fatalf("%q", body)
			}
		}
	}
	if _, err := r.client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after all replies: %v", err)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestEndOfContext(t *testing.T) {
	client, near := unixPair(t)
	far, server := unixPair(t)
	defer client.Close()
	defer server.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error)
	c := &Conversation{Client: near, Server: far, Rules: testRules{}}
	go func() { ended <- c.Run(ctx) }()
	why := errors.New("why")
	cancel(why)
	if err := <-ended; err != why {
		t.Error(err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client's end is open")
	}
}

// A daemon that closes the connection ends it, also when the client keeps its end open.
func TestDaemonCloses(t *testing.T) {
	r := newRig(t, testRules{})
	r.server.Write(packet(Head{ProgramRemote, 1, 1, TypeMessage, 0, StatusOK}, []byte("last")))
	r.server.Close()
	if _, body := readPacket(t, r.client); string(body) != "last" {
		t.Errorf("%q", body)
	}
	for range 3 {
		r.client.Write(call(1, 1, "into the void"))
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func BenchmarkPass(b *testing.B) {
	for name, size := range map[string]int{"100B": 100, "64KiB": 64 << 10, "256KiB": 256 << 10} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, testRules{})
			r.client.SetDeadline(time.Time{})
			r.server.SetDeadline(time.Time{})
			const upload = 208
			r.client.Write(call(upload, 1, ""))
			h, _ := readPacket(b, r.server)
			r.server.Write(packet(h.reply(StatusOK), nil))
			readPacket(b, r.client)
			p := packet(Head{ProgramRemote, 1, upload, TypeStream, 1, StatusContinue}, make([]byte, size-headSize))
			b.SetBytes(int64(size))
			go func() {
				for range b.N {
					r.client.Write(p)
				}
				r.client.CloseWrite()
			}()
			if n, err := io.Copy(struct{ io.Writer }{io.Discard}, r.server); err != nil || n != int64(size)*int64(b.N) {
				b.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}
