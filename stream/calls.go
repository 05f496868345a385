package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/vmihailenco/msgpack/v5"
)

// maxCalls is how many calls of one session may be under way at once.
const maxCalls = 8

// calls are the calls under way: at the opener those that have no reply yet, at
// the acceptor those whose reply has not begun to leave.
type calls struct {
	slots   chan struct{} // at the opener, an element for each
	mu      sync.Mutex
	serial  uint32
	waiting map[uint32]chan *frame

	serving atomic.Int32
	served  sync.WaitGroup
}

// Call asks the other end for what name says, with in encoded as msgpack, and decodes its answer
// into out (nil: not wanted). An error of the other end's is a *Cause; the Cause of the session's
// end, when Context has ended, says nothing about whether the call took effect. While as many calls
// as may be are under way, it waits. A call whose ctx ends is under way until the other end has
// answered. Only the opener may call.
func (s *Session) Call(ctx context.Context, name string, in, out any) error {
	body, err := msgpack.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the call %s: %w", name, err)
	}
	select {
	case <-s.settled: // the other end takes no more calls
		<-s.ctx.Done()
		return s.cause
	default:
	}
	select {
	case s.calls.slots <- struct{}{}:
	case <-s.ctx.Done():
		return s.cause
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	serial, replied := s.calls.expect()
	if err := s.control.write(&frame{Kind: kindCall, Serial: serial, Name: name, Body: body}); err != nil {
		if errors.Is(err, errTooLong) {
			s.calls.reply(&frame{Serial: serial})
			return fmt.Errorf("call %s of %s: %w", name, s.Peer, err)
		}
		s.Fail(s.link.cause(channelControl, err))
	}
	var answer *frame
	select {
	case answer = <-replied:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
		select {
		case answer = <-replied: // before the end
		default:
			return s.cause
		}
	}
	if answer.Cause != nil {
		return answer.Cause.failureFrom(s.Peer)
	}
	if out == nil {
		return nil
	}
	if err := msgpack.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("decode %s's answer to the call %s: %w", s.Peer, name, err)
	}
	return nil
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

// reply hands f to its caller, who may have gone, and ends the call.
func (c *calls) reply(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch, ok := c.waiting[f.Serial]; ok {
		delete(c.waiting, f.Serial)
		ch <- f
		<-c.slots
	}
}

// serve answers the call f in a goroutine of its own, which releases it. A
// session that has failed takes no more calls.
func (s *Session) serve(f *frame) bool {
	if c := s.known(); c != nil && !c.symptom {
		return false
	}
	if s.calls.serving.Load() == maxCalls {
		s.Fail(&Cause{Code: CodeProtocol, Channel: channelControl, Text: fmt.Sprintf(
			"%s has more than %d calls under way", s.Peer, maxCalls)})
		return false
	}
	s.calls.serving.Add(1)
	s.calls.served.Go(func() {
		answer := &frame{Kind: kindReply, Serial: f.Serial}
		out, err := s.handler.Call(s.ctx, f.Name, f.Body)
		f.release()
		if err == nil {
			answer.Body, err = msgpack.Marshal(out)
		}
		if err := s.reply(answer, err); err != nil {
			s.Fail(s.link.cause(channelControl, err))
		}
	})
	return true
}

// reply sends answer, or in its place what went wrong.
func (s *Session) reply(answer *frame, err error) error {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	// Only now, so that a peer that reads no replies can't pile them up; and
	// not later, so that a peer that has its reply may call again.
	s.calls.serving.Add(-1)
	if err == nil {
		err = s.control.writeLocked(answer)
		if !errors.Is(err, errTooLong) {
			return err
		}
	}
	cause := asCause(err, CodeRefused, s.link.host).from(s.link.host)
	return s.control.writeLocked(&frame{Kind: kindReply, Serial: answer.Serial, Cause: cause})
}
