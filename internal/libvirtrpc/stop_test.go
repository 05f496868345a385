package libvirtrpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// awaitingRules hold call 1000 until release, and await the reply to 1003.
type awaitingRules struct {
	testRules
	busy    bool
	held    chan struct{}
	release chan struct{}
	await   time.Duration
	replied chan string
}

func (p *awaitingRules) Busy() bool { return p.busy }

func (p *awaitingRules) Understand(_ context.Context, c *Call) Outcome {
	if c.Procedure == 1000 {
		p.held <- struct{}{}
		<-p.release
		return Outcome{}
	}
	return Outcome{
		Reply: func(r *Reply) { p.replied <- string(r.Body) },
		Await: func() time.Duration { return p.await },
	}
}

// stoppable is a conversation with two ways to be told to end.
func stoppable(t *testing.T, rules *awaitingRules) (r *rig, drain func(), breakOff context.CancelCauseFunc) {
	t.Helper()
	rules.held, rules.release, rules.replied = make(chan struct{}, 1), make(chan struct{}), make(chan string, 1)
	r = &rig{ended: make(chan error, 1)}
	near, far := r.connect(t)
	draining := make(chan struct{})
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &Conversation{Client: near, Server: far, Rules: rules, Draining: draining}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- c.Run(ctx)
	}()
	limit := time.Now().Add(30 * time.Second)
	r.client.SetDeadline(limit)
	r.server.SetDeadline(limit)
	t.Cleanup(func() {
		r.client.Close()
		r.server.Close()
		<-done
	})
	return r, func() { close(draining) }, cancel
}

func answer(t *testing.T, r *rig, body string) {
	t.Helper()
	h, _ := readPacket(t, r.server)
	if _, err := r.server.Write(packet(h.reply(StatusOK), []byte(body))); err != nil {
		t.Error(err)
	}
}

// wantEnd wants the end of both sides, the daemon's first.
func wantEnd(t *testing.T, r *rig) {
	t.Helper()
	if _, err := r.server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the daemon reads %v", err)
	}
	r.server.Close()
	if _, err := r.client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client reads %v", err)
	}
	r.client.Close()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestDraining(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		r, drain, _ := stoppable(t, &awaitingRules{})
		drain()
		wantEnd(t, r)
	})
	t.Run("calls under way", func(t *testing.T) {
		r, drain, _ := stoppable(t, &awaitingRules{})
		r.client.Write(append(call(5, 1, "body"), call(1003, 2, "body")...))
		h, _ := readPacket(t, r.server)
		drain()
		r.server.Write(packet(h.reply(StatusOK), []byte("one.")))
		if _, body := readPacket(t, r.client); string(body) != "one." {
			t.Errorf("%q", body)
		}
		answer(t, r, "two.")
		if _, body := readPacket(t, r.client); string(body) != "two." {
			t.Errorf("%q", body)
		}
		// A call that comes too late is answered in words.
		if _, err := r.server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the daemon reads %v", err)
		}
		r.client.Write(call(5, 3, "late"))
		h, body := readPacket(t, r.client)
		if e, err := DecodeError(body); err != nil || h.Serial != 3 || h.Status != StatusError || e.Message != "sluice is being stopped, and ends the connection" {
			t.Errorf("%+v %v %v", h, e, err)
		}
		wantEnd(t, r)
	})
	t.Run("busy", func(t *testing.T) {
		rules := &awaitingRules{busy: true}
		r, drain, _ := stoppable(t, rules)
		drain()
		for serial := range uint32(3) {
			r.client.Write(call(5, serial, "body"))
			answer(t, r, "more")
			readPacket(t, r.client)
		}
		r.client.CloseWrite()
		wantEnd(t, r)
	})
}

// Calls under way when a conversation is broken off are answered in words, and
// what was held does not go on; an answer that is awaited still comes.
func TestBreakOff(t *testing.T) {
	rules := &awaitingRules{await: time.Minute}
	r, _, breakOff := stoppable(t, rules)
	r.client.Write(append(call(5, 1, "body"), call(1003, 2, "body")...))
	readPacket(t, r.server)
	awaited, _ := readPacket(t, r.server)
	r.client.Write(call(1000, 3, "held"))
	<-rules.held
	why := errors.New("why")
	breakOff(why)
	told := map[uint32]bool{}
	for range 2 {
		h, body := readPacket(t, r.client)
		if e, err := DecodeError(body); err != nil || h.Status != StatusError || e.Message != "sluice: why" {
			t.Errorf("%+v %v %v", h, e, err)
		}
		told[h.Serial] = true
	}
	if !told[1] || !told[3] {
		t.Errorf("%v were told", told)
	}
	close(rules.release)
	r.server.Write(packet(awaited.reply(StatusOK), []byte("done")))
	if h, body := readPacket(t, r.client); h.Serial != 2 || string(body) != "done" {
		t.Errorf("%+v %q", h, body)
	}
	if _, err := r.server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the daemon reads %v: a call went on that had been answered", err)
	}
	if err := <-r.ended; err != why {
		t.Error(err)
	}
}

// An awaited answer is heard although the client is gone, within its bound.
func TestAwaited(t *testing.T) {
	for name, leave := range map[string]func(*rig, context.CancelCauseFunc){
		"the client closes":        func(r *rig, _ context.CancelCauseFunc) { r.client.Close() },
		"the client breaks":        func(r *rig, _ context.CancelCauseFunc) { r.client.Write(make([]byte, 8)); r.client.Close() },
		"closed and broken off":    func(r *rig, stop context.CancelCauseFunc) { r.client.Close(); stop(errors.New("why")) },
		"broken off, then it ends": func(r *rig, stop context.CancelCauseFunc) { stop(errors.New("why")); r.client.Close() },
	} {
		rules := &awaitingRules{await: time.Minute}
		r, _, stop := stoppable(t, rules)
		r.client.Write(call(1003, 2, "body"))
		h, _ := readPacket(t, r.server)
		leave(r, stop)
		r.server.Write(packet(h.reply(StatusOK), []byte("done")))
		if got := <-rules.replied; got != "done" {
			t.Errorf("%s: %q", name, got)
		}
		r.server.Close()
		<-r.ended
		stop(nil)
	}
	rules := &awaitingRules{await: time.Millisecond}
	r, _, _ := stoppable(t, rules)
	r.client.Write(call(1003, 2, "body"))
	readPacket(t, r.server)
	r.client.Close()
	if _, err := r.server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the daemon reads %v", err)
	}
}
