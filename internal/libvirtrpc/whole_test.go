package libvirtrpc

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

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
	if h, body := readPacket(t, r.server); h.Procedure != 5 || string(body) != "next" {
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
