package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// maxCalls is how many calls of one session may be under way at once.
const maxCalls = 8

// calls are the calls under way: at the opener those that wait for a reply, at
// the acceptor those that are being served.
type calls struct {
	mu      sync.Mutex
	serial  uint32
	waiting map[uint32]chan *frame
	serving int
	served  sync.WaitGroup
}

// Call asks the other end for what name says, with in encoded as msgpack, and
// decodes its answer into out (nil: not wanted). An error of the other end's is
// a *Cause; a Cause of the session's end says nothing about whether the call
// took effect. Only the opener may call.
func (s *Session) Call(ctx context.Context, name string, in, out any) error {
	body, err := msgpack.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the call %s: %w", name, err)
	}
	serial, replied := s.calls.expect()
	defer s.calls.forget(serial)
	if err := s.write(&frame{Kind: kindCall, Serial: serial, Name: name, Body: body}); err != nil {
		if errors.Is(err, ErrFrame) {
			return fmt.Errorf("call %s of %s: %w", name, s.Peer, err)
		}
		s.Fail(s.linkCause("control", err))
	}
	select {
	case f := <-replied:
		if f.Cause != nil {
			return f.Cause.printable()
		}
		if out == nil {
			return nil
		}
		if err := msgpack.Unmarshal(f.Body, out); err != nil {
			return fmt.Errorf("decode %s's answer to the call %s: %w", s.Peer, name, err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

func (c *calls) expect() (uint32, <-chan *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(map[uint32]chan *frame)
	}
	c.serial++
	ch := make(chan *frame, 1)
	c.waiting[c.serial] = ch
	return c.serial, ch
}

func (c *calls) forget(serial uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, serial)
}

// reply hands f to its caller, who may have gone.
func (c *calls) reply(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, ok := c.waiting[f.Serial]; ok {
		delete(c.waiting, f.Serial)
		ch <- f
	}
}

// serve answers f in a goroutine of its own, which wait waits for. A cause
// ends the session.
func (c *calls) serve(s *Session, f *frame) *Cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving == maxCalls {
		return &Cause{Code: CodeProtocol, Host: s.host, Channel: "control", Text: fmt.Sprintf("%s has more than %d calls under way", s.Peer, maxCalls)}
	}
	c.serving++
	c.served.Go(func() {
		answer := &frame{Kind: kindReply, Serial: f.Serial}
		out, err := s.handler.Call(s.ctx, f.Name, f.Body)
		if err == nil {
			answer.Body, err = msgpack.Marshal(out)
		}
		if err != nil {
			answer.Cause = asCause(err, CodeRefused, s.host)
		}
		c.mu.Lock()
		c.serving--
		c.mu.Unlock()
		if err := s.write(answer); err != nil {
			s.Fail(s.linkCause("control", err))
		}
	})
	return nil
}

// wait returns when every call being served has been answered.
func (c *calls) wait() { c.served.Wait() }

// asCause is err as a Cause: itself if it is one.
func asCause(err error, code, host string) *Cause {
	var c *Cause
	if errors.As(err, &c) {
		return c
	}
	return &Cause{Code: code, Host: host, Text: err.Error()}
}
