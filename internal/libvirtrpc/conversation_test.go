package libvirtrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// testRules are rules by procedure: 1000 is held, 1001 refused, 1002 answered,
// 1003 changed with its reply.
type testRules struct{}

func (testRules) Judge(h Head) (bool, *Error) {
	switch h.Procedure {
	case 1001:
		return false, Errorf(ErrAccessDenied, "access denied: 1001")
	case 1000, 1002, 1003:
		return true, nil
	}
	return false, nil
}

func (testRules) Understand(_ context.Context, c *Call) Outcome {
	switch c.Procedure {
	case 1002:
		return Outcome{Answer: []byte("answer..")}
	case 1003:
		return Outcome{Procedure: 2003, Body: append([]byte("new."), c.Body...), Reply: func(r *Reply) {
			r.Body = append([]byte("seen"), r.Body...)
		}}
	}
	return Outcome{}
}

// rig is a conversation under test, with both far ends.
type rig struct {
	client, server *net.UnixConn
	ended          chan error
}

func unixPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// connect makes both connections, and returns the conversation's ends.
func (r *rig) connect(t testing.TB) (near, far *net.UnixConn) {
	t.Helper()
	r.client, near = unixPair(t)
	r.server, far = unixPair(t)
	return near, far
}

func newRig(t testing.TB, rules Rules) *rig {
	t.Helper()
	r := &rig{ended: make(chan error, 1)}
	near, far := r.connect(t)
	c := &Conversation{Client: near, Server: far, Rules: rules}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- c.Run(context.Background())
	}()
	limit := time.Now().Add(30 * time.Second)
	r.client.SetDeadline(limit)
	r.server.SetDeadline(limit)
	t.Cleanup(func() {
		r.client.Close()
		r.server.Close()
		<-done
	})
	return r
}

func call(procedure Procedure, serial uint32, body string) []byte {
	return packet(Head{ProgramRemote, 1, procedure, TypeCall, serial, StatusOK}, []byte(body))
}

func readPacket(t testing.TB, c io.Reader) (Head, []byte) {
	t.Helper()
	var length [lengthSize]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	copy(b, length[:])
	if _, err := io.ReadFull(c, b[lengthSize:]); err != nil {
		t.Fatal(err)
	}
	return parseHead(b), b[headSize:]
}

func TestPassesUntouched(t *testing.T) {
	r := newRig(t, testRules{})
	var sent []byte
	for i := range 300 {
		size := []int{0, 1, 4, 100, bufferSize - headSize - 1, bufferSize - headSize, bufferSize - headSize + 1, 3*bufferSize + 5}[i%8]
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(rand.Int())
		}
		sent = append(sent, packet(Head{ProgramRemote, 1, Procedure(1 + i%900), Type(i % 4), uint32(i), StatusContinue}, body)...)
	}
	for _, way := range []struct{ from, to *net.UnixConn }{{r.client, r.server}, {r.server, r.client}} {
		go func() {
			way.from.Write(sent)
			way.from.CloseWrite()
		}()
		got, err := io.ReadAll(way.to)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(sent), err)
		}
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
			h := parseHead(append(length[:], b...))
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
			n, _ := io.Copy(io.Discard, r.server)
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
		in := newInput(wrap(bytes.NewReader(sent)), &sender{w: &got})
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

// A packet with file descriptors is refused, and the bytes that carry them are
// taken out of the stream.
func TestFileDescriptors(t *testing.T) {
	r := newRig(t, testRules{})
	p := packet(Head{ProgramRemote, 1, 309, TypeCallWithFDs, 9, StatusOK}, []byte{0, 0, 0, 2, 'b', 'o', 'd', 'y'})
	r.client.Write(append(append(p, 0, 0), call(5, 10, "next")...))
	h, body := readPacket(t, r.client)
	e, err := DecodeError(body)
	if err != nil || h.Serial != 9 || h.Status != StatusError || h.Type != TypeReply || e.Code != ErrUnsupported {
		t.Errorf("%+v %v %v", h, e, err)
	}
	if h, body := readPacket(t, r.server); h.Serial != 10 || string(body) != "next" {
		t.Errorf("%+v %q", h, body)
	}
	// Too many, or none said.
	for _, body := range []string{"", "\x00\x00\x00\x21"} {
		r := newRig(t, testRules{})
		r.client.Write(packet(Head{ProgramRemote, 1, 309, TypeCallWithFDs, 9, StatusOK}, []byte(body)))
		if err := <-r.ended; err == nil {
			t.Errorf("%q passes", body)
		}
	}
}

// While a call is held, others pass; a second one with its serial is refused.
func TestHeldCallsHoldNoOther(t *testing.T) {
	rules := &slowRules{begun: make(chan struct{}, 16), release: make(chan struct{})}
	r := newRig(t, rules)
	r.client.Write(append(call(1003, 1, "slow"), call(5, 2, "fast")...))
	if h, _ := readPacket(t, r.server); h.Serial != 2 {
		t.Fatalf("%+v came first", h)
	}
	<-rules.begun
	close(rules.release)
	if h, _ := readPacket(t, r.server); h.Serial != 1 || h.Procedure != 2003 {
		t.Fatalf("%+v", h)
	}
	r.client.Write(call(1003, 1, "again"))
	if h, _ := readPacket(t, r.client); h.Serial != 1 || h.Status != StatusError {
		t.Fatalf("%+v", h)
	}
	// A reply by another procedure's number is no reply.
	r.server.Write(packet(Head{ProgramRemote, 1, 77, TypeReply, 1, StatusOK}, nil))
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "for a call of procedure 2003") {
		t.Error(err)
	}
}

type slowRules struct {
	testRules
	begun, release chan struct{}
}

func (s *slowRules) Understand(ctx context.Context, c *Call) Outcome {
	s.begun <- struct{}{}
	<-s.release
	return s.testRules.Understand(ctx, c)
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

// A daemon's error goes on as it came unless it was changed.
func TestErrorsPassWhole(t *testing.T) {
	r := newRig(t, testRules{})
	var w writer // with all optional parts
	w.uint(38)
	w.uint(10)
	w.optional(text("the message"))
	w.uint(2)
	w.uint(0)
	w.optional(text("one"))
	w.optional(text("two"))
	w.optional(text("three"))
	w.uint(1)
	w.uint(2)
	w.uint(0)
	r.client.Write(call(1003, 4, "body"))
	h, _ := readPacket(t, r.server)
	r.server.Write(packet(h.reply(StatusError), w.b))
	if h, body := readPacket(t, r.client); h.Procedure != 1003 || h.Status != StatusError || !bytes.Equal(body, w.b) {
		t.Errorf("%+v %q", h, body)
	}
}

// A daemon that closes the connection ends it, also when the client keeps its
// end open.
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
			p := call(1, 1, strings.Repeat("x", size-headSize))
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

func (testRules) Busy() bool { return false }
