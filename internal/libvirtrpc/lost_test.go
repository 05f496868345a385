package libvirtrpc

import (
	"context"
	"io"
	"testing"
	"time"
)

// lostRules answer call 1003 themselves when the daemon is gone.
type lostRules struct {
	testRules
	begun chan struct{}
	reply chan *Reply
	ended chan struct{}
}

func (l *lostRules) Understand(ctx context.Context, c *Call) Outcome {
	return Outcome{Lost: func(ctx context.Context) *Reply {
		l.begun <- struct{}{}
		select {
		case r := <-l.reply:
			return r
		case <-ctx.Done():
			close(l.ended)
			return nil
		}
	}}
}

func TestLostReply(t *testing.T) {
	for name, c := range map[string]struct {
		reply  *Reply
		status uint32
	}{
		"found":     {&Reply{Body: []byte("body")}, StatusOK},
		"not found": {&Reply{Err: Errorf(ErrRPC, "no")}, StatusError},
	} {
		rules := &lostRules{begun: make(chan struct{}, 1), reply: make(chan *Reply)}
		r := newRig(t, rules)
		r.client.Write(call(1003, 7, ""))
		readPacket(t, r.server)
		r.server.Close()
		// Meanwhile the client hears that all is alive, and that calls go nowhere.
		<-rules.begun
		r.client.Write(packet(Head{ProgramKeepalive, 1, keepalivePing, TypeMessage, 0, StatusOK}, nil))
		if h, _ := readPacket(t, r.client); h.Program != ProgramKeepalive || h.Procedure != keepalivePong {
			t.Fatalf("%s: %+v", name, h)
		}
		r.client.Write(call(5, 8, ""))
		if h, _ := readPacket(t, r.client); h.Serial != 8 || h.Status != StatusError {
			t.Fatalf("%s: %+v", name, h)
		}
		rules.reply <- c.reply
		h, body := readPacket(t, r.client)
		if h.Serial != 7 || h.Procedure != 1003 || h.Status != c.status || c.reply.Err == nil && string(body) != "body" {
			t.Errorf("%s: %+v %q", name, h, body)
		}
		r.client.Close()
		if err := <-r.ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A client that goes away gives up waiting.
func TestLostReplyNotAwaited(t *testing.T) {
	rules := &lostRules{begun: make(chan struct{}, 1), reply: make(chan *Reply), ended: make(chan struct{})}
	r := newRig(t, rules)
	r.client.Write(call(1003, 7, ""))
	readPacket(t, r.server)
	r.server.Close()
	r.client.Close()
	<-rules.ended
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

// A daemon that goes away leaves no call without a word, but for one that only it can decide on.
func TestLostCalls(t *testing.T) {
	rules := &awaitingRules{held: make(chan struct{}, 1), release: make(chan struct{}), replied: make(chan string, 1), await: time.Minute}
	r := newRig(t, rules)
	r.client.Write(append(append(call(5, 1, ""), call(1003, 2, "")...), call(1000, 3, "")...))
	readPacket(t, r.server)
	readPacket(t, r.server)
	<-rules.held
	r.server.Close()
	told := map[uint32]string{}
	for range 2 {
		h, body := readPacket(t, r.client)
		e, err := DecodeError(body)
		if err != nil || h.Status != StatusError {
			t.Fatalf("%+v %v", h, err)
		}
		told[h.Serial] = e.Message
	}
	const words = "sluice: libvirt over there has closed the connection"
	if told[1] != words || told[3] != words {
		t.Errorf("%v", told)
	}
	close(rules.release)
	if h, _, err := tryPacket(r.client); err != io.EOF {
		t.Errorf("%+v, %v", h, err)
	}
}
