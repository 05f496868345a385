package libvirtrpc

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLengths(t *testing.T) {
	for _, c := range []struct {
		length uint32
		good   bool
	}{{0, false}, {3, false}, {4, false}, {27, false}, {28, true}, {29, true}, {MaxPacket, true}, {MaxPacket + 1, false}, {1 << 31, false}, {1<<32 - 1, false}} {
		for _, procedure := range []Procedure{1, 1000, 1001} {
			r := newRig(t, testRules{})
			before := call(5, 1, "before..")
			head := call(procedure, 2, "")
			binary.BigEndian.PutUint32(head, c.length)
			go func() {
				r.client.Write(append(slices.Clone(before), head...))
				if c.good {
					io.CopyN(r.client, zeros{}, int64(c.length)-headSize)
				}
				r.client.CloseWrite()
			}()
			h, body := readPacket(t, r.server)
			if h.Procedure != 5 || string(body) != "before.." {
				t.Fatalf("%v %q", h, body)
			}
			all := bytes.NewBuffer(make([]byte, 0, 2*MaxPacket))
			all.ReadFrom(r.server)
			n := int64(len(bytes.ReplaceAll(all.Bytes(), ping, nil))) // where this takes long the server is pinged
			r.server.CloseWrite()
			io.Copy(io.Discard, r.client)
			err := <-r.ended
			want := int64(c.length)
			if !c.good || procedure == 1001 {
				want = 0
			}
			if n != want || c.good != (err == nil) {
				t.Errorf("a packet of %d bytes, procedure %d: %d bytes passed, %v", c.length, procedure, n, err)
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A stream that is cut anywhere passes what came before, and is an error
// unless it is cut between packets.
func TestCutEverywhere(t *testing.T) {
	var sent []byte
	ends := map[int]bool{0: true}
	for i, p := range [][]byte{call(1, 1, "pass"), call(1000, 2, "held"), call(1001, 3, "deny"), call(1002, 4, ""), call(7, 5, "pass again")} {
		_ = i
		sent = append(sent, p...)
		ends[len(sent)] = true
	}
	for n := range len(sent) + 1 {
		r := newRig(t, testRules{})
		go func() {
			// Byte by byte, as a slow client sends.
			for i := range n {
				if _, err := r.client.Write(sent[i : i+1]); err != nil {
					return
				}
			}
			r.client.CloseWrite()
		}()
		got, _ := io.ReadAll(r.server)
		r.server.CloseWrite()
		io.Copy(io.Discard, r.client)
		err := <-r.ended
		if ends[n] != (err == nil) {
			t.Errorf("cut at %d of %d: %v", n, len(sent), err)
		}
		if n >= 32 && !bytes.HasPrefix(got, sent[:32]) {
			t.Errorf("cut at %d: the daemon got %q", n, got)
		}
	}
}

func TestReadersOfAllKinds(t *testing.T) {
	var sent, want []byte
	for i := range 200 {
		p := call(Procedure(i%3), uint32(i), strings.Repeat("x", i*40%9000))
		sent = append(sent, p...)
		if i%3 != 1 {
			want = append(want, p...)
		}
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":    func(r io.Reader) io.Reader { return r },
		"one byte": iotest.OneByteReader,
		"half":     iotest.HalfReader,
		"data+EOF": iotest.DataErrReader,
	} {
		var got bytes.Buffer
		in := newPacketReader(wrap(bytes.NewReader(sent)), &packetWriter{w: &got})
		for {
			h, n, err := in.head()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch h.Procedure {
			case 1:
				err = in.skip(n)
			case 2:
				var body []byte
				body, err = in.take(n)
				got.Write(packet(h, body))
			default:
				err = in.pass(n)
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes, want %d", name, got.Len(), len(want))
		}
	}
}
