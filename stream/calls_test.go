package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

func TestCall_answers(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(h *hosts) {
		h.handler.call = func(_ context.Context, name string, body []byte) (any, error) {
			switch name {
			case "mirror":
				return msgpack.RawMessage(body), nil
			case "nothing":
				return nil, nil
			case "error":
				return nil, fmt.Errorf("virDomainMigratePrepare3Params: %w", errors.New("no space\nleft\x1b[0m"))
			case "cause":
				return nil, fmt.Errorf("wrapped: %w", &Cause{Code: CodeLibvirt, Host: "host-b", Text: "domain not found"})
			case "done":
				return nil, &Cause{Code: CodeDone, Text: "done"}
			case "long":
				return make([]byte, MaxControl), nil
			case "can't be said":
				return make(chan int), nil
			case "long error":
				return nil, errors.New(strings.Repeat("x", 2*MaxControl))
			}
			return nil, errors.New("unknown")
		}
	})
	s, _ := h.open(Info{})
	call := func(name string, in, out any) error { return s.Call(t.Context(), name, in, out) }

	type cookie struct {
		XML   string
		Flags []uint64
	}
	in, out := cookie{strings.Repeat("<x/>", 1<<18), []uint64{1, 1 << 63}}, cookie{}
	if err := call("mirror", in, &out); err != nil || out.XML != in.XML || out.Flags[1] != 1<<63 {
		t.Errorf("%v", err)
	}
	if err := call("mirror", nil, &out); err != nil {
		t.Errorf("nil as an answer: %v", err)
	}
	if err := call("nothing", nil, nil); err != nil {
		t.Error(err)
	}
	var text string
	if err := call("nothing", nil, &text); err != nil {
		t.Error(err)
	}
	if err := call("mirror", 1, &text); err == nil || !strings.Contains(err.Error(), "decode host-b's answer to the call mirror") {
		t.Errorf("%v", err)
	}
	if err := call("mirror", make(chan int), nil); err == nil || !strings.Contains(err.Error(), "encode the call mirror") {
		t.Errorf("%v", err)
	}
	expect(t, call("error", nil, nil), CodeRefused, "host-b: virDomainMigratePrepare3Params: no space left?[0m")
	expect(t, call("cause", nil, nil), CodeLibvirt, "host-b: domain not found")
	expect(t, call("done", nil, nil), CodeRefused, "host-b: done")
	expect(t, call("can't be said", nil, nil), CodeRefused, "host-b: ", "chan int")
	expect(t, call("long", nil, nil), CodeRefused, "host-b: ", "too long for a frame")
	expect(t, call("long error", nil, nil), CodeRefused, "host-b: ", "xxx…")
	if err := call("mirror", make([]byte, MaxControl), nil); !errors.Is(err, errTooLong) || !strings.Contains(err.Error(), "call mirror of host-b") {
		t.Errorf("%v", err)
	}

	// None of these ended the session or kept a place.
	for range 2 * maxCalls {
		if err := call("nothing", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.calls.waiting); n != 0 || len(s.calls.slots) != 0 {
		t.Errorf("%d calls wait, %d places are taken", n, len(s.calls.slots))
	}
	s.Finish()
	expect(t, wait(t, s), CodeDone)
}

// A ninth call waits for a place; one whose caller has gone keeps its place until it is answered.
func TestCall_places(t *testing.T) {
	t.Parallel()
	began, mayReturn := make(chan string, 100), make(chan struct{})
	h := newHosts(t, func(h *hosts) {
		h.handler.call = func(_ context.Context, name string, _ []byte) (any, error) {
			began <- name
			<-mayReturn
			return nil, nil
		}
	})
	s, _ := h.open(Info{})
	gone, goAway := context.WithCancelCause(t.Context())
	errs := make(chan error, 100)
	for range maxCalls {
		go func() { errs <- s.Call(gone, "abandoned", nil, nil) }()
	}
	for range maxCalls {
		receive(t, began)
	}
	why := errors.New("the caller has gone")
	goAway(why)
	for range maxCalls {
		if err := receive(t, errs); err != why {
			t.Errorf("%v", err)
		}
	}
	if err := s.Call(gone, "too late", nil, nil); err != why {
		t.Errorf("%v", err)
	}
	for range maxCalls {
		go func() { errs <- s.Call(t.Context(), "next", nil, nil) }()
	}
	select {
	case name := <-began:
		t.Errorf("the call %s found a place", name)
	default:
	}
	close(mayReturn)
	for range maxCalls {
		if err := receive(t, errs); err != nil {
			t.Error(err)
		}
	}
	s.Finish()
	wait(t, s)
}

func TestCall_tooManyAtOnce(t *testing.T) {
	t.Parallel()
	served := make(chan struct{}, 100)
	h := newHosts(t, func(h *hosts) {
		h.handler.call = func(ctx context.Context, _ string, _ []byte) (any, error) {
			served <- struct{}{}
			<-ctx.Done()
			return nil, nil
		}
	})
	conn := h.raw("host-a")
	s := h.control(conn, NewID())
	for i := range maxCalls + 3 {
		send(t, conn, &frame{Kind: kindCall, Serial: uint32(i), Name: "x"})
	}
	f := hearKind(t, conn, kindFailed)
	expect(t, f.Cause, CodeProtocol, "host-b: channel control: host-a has more than 8 calls under way")
	send(t, conn, &frame{Kind: kindEnd, Cause: f.Cause})
	conn.Close()
	expect(t, wait(t, s), CodeProtocol, "host-b: channel control: host-a has more than 8 calls under way")
	if n := len(served); n > maxCalls {
		t.Errorf("%d calls were served", n)
	}
}

// Replies that nobody reads are not piled up: each counts until it has begun to leave.
func TestCall_unreadReplies(t *testing.T) {
	t.Parallel()
	large := make([]byte, 3<<20)
	h := newHosts(t, func(h *hosts) {
		h.handler.call = func(context.Context, string, []byte) (any, error) { return large, nil }
	})
	conn := h.raw("host-a")
	s := h.control(conn, NewID())
	for i := range 3 * maxCalls { // what has left so far makes place for a few more
		if err := writeFrame(conn, &frame{Kind: kindCall, Serial: uint32(i), Name: "x"}, MaxOpen); err != nil {
			break
		}
	}
	until(t, "the session's failure", func() bool { return s.known() != nil })
	expect(t, s.known(), CodeProtocol, "host-a has more than 8 calls under way")
	conn.Close()
	expect(t, wait(t, s), CodeProtocol, "host-a has more than 8 calls under way")
}

// Whose reply it is, is by its serial alone; others are ignored.
func TestCall_strayReplies(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(h *hosts) {
		h.handler.call = func(context.Context, string, []byte) (any, error) { return "right", nil }
	})
	a, b := h.open(Info{})
	wrong, _ := msgpack.Marshal("wrong")
	for _, serial := range []uint32{0, 2, 1 << 31} {
		b.control.write(&frame{Kind: kindReply, Serial: serial, Body: wrong})
	}
	var out string
	if err := a.Call(t.Context(), "x", nil, &out); err != nil || out != "right" {
		t.Errorf("%q, %v", out, err)
	}
	b.control.write(&frame{Kind: kindReply, Serial: 1, Body: wrong})
	if err := a.Call(t.Context(), "x", nil, &out); err != nil || out != "right" {
		t.Errorf("%q, %v", out, err)
	}
	a.Finish()
	expect(t, wait(t, a), CodeDone)
}

// A session that has failed takes no more calls, and those under way are
// waited for though their answers are lost.
func TestCall_sessionEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(h *hosts, a, b *Session) string{
		"opener fails": func(_ *hosts, a, _ *Session) string {
			a.Fail(&Cause{Code: CodeLibvirt, Text: "no"})
			return "host-a: no"
		},
		"acceptor fails": func(_ *hosts, _, b *Session) string {
			b.Fail(&Cause{Code: CodeLibvirt, Text: "no"})
			return "host-b: no"
		},
		"killed": func(h *hosts, _, _ *Session) string {
			h.gate.cut(0, true)
			return "host-a: channel control: the connection with host-b"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, finished := make(chan struct{}), make(chan struct{})
			h := newHosts(t, func(h *hosts) {
				h.handler.call = func(ctx context.Context, _ string, _ []byte) (any, error) {
					close(began)
					<-ctx.Done()
					<-time.After(20 * time.Millisecond) // work that must be finished
					close(finished)
					return "too late", nil
				}
				h.handler.end = func(*Cause) {
					select {
					case <-finished:
					default:
						t.Error("End while a call is being served")
					}
				}
			})
			a, b := h.open(Info{})
			answered := make(chan error)
			go func() { answered <- a.Call(context.Background(), "x", nil, nil) }()
			receive(t, began)
			words := end(h, a, b)
			err := receive(t, answered)
			if err != wait(t, a) || !strings.Contains(err.Error(), words) {
				t.Errorf("%v", err)
			}
			if context.Cause(a.Context()) != err {
				t.Errorf("the call returned before the context had ended")
			}
			wait(t, b)
			receive(t, finished)
			if err := a.Call(t.Context(), "x", nil, nil); err != a.Wait() {
				t.Errorf("%v", err)
			}
		})
	}
}

// A peer that claims to be done with what only the opener can be, or that says
// nothing, is taken for what it is.
func TestSession_hostileAcceptor(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	a, b := h.open(Info{})
	b.control.write(&frame{Kind: kindFailed, Cause: &Cause{Code: CodeDone, Host: "host-b", Text: "done"}})
	expect(t, wait(t, a), CodeRefused, "host-b: done")
	expect(t, wait(t, b), CodeRefused, "host-b: done")
}
