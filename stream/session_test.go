package stream

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/vmihailenco/msgpack/v5"
)

func TestSession_fromOpenToDone(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(h *hosts) {
		h.handler.call = func(_ context.Context, name string, body []byte) (any, error) {
			var in []string
			if err := msgpack.Unmarshal(body, &in); err != nil {
				return nil, err
			}
			return name + " " + in[0], nil
		}
	})
	info := Info{Work: "migrate", Guest: "web", UUID: "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb"}
	a, b := h.open(info)
	info.ID, info.Peer, info.Address = a.ID, "host-b", h.gate.addr()
	if a.Info != info {
		t.Errorf("the opener's %+v, want %+v", a.Info, info)
	}
	info.Peer, info.Address = "host-a", b.Address
	if b.Info != info || b.Address == "" {
		t.Errorf("the acceptor's %+v, want %+v", b.Info, info)
	}

	var out string
	if err := a.Call(t.Context(), "say", []string{"hello"}, &out); err != nil || out != "say hello" {
		t.Errorf("%q, %v", out, err)
	}

	appA, appB := h.channel(a, ChannelMemory)
	appA.Write([]byte("there"))
	appA.CloseWrite()
	if got, err := io.ReadAll(appB); string(got) != "there" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	appB.Write([]byte("and back"))
	appB.CloseWrite()
	if got, err := io.ReadAll(appA); string(got) != "and back" || err != nil {
		t.Errorf("%q, %v", got, err)
	}

	for end, s := range map[string]*Session{"opener": a, "acceptor": b} {
		channels := s.Channels()
		if len(channels) != 1 {
			t.Fatalf("%s: %d channels", end, len(channels))
		}
		c := channels[0]
		receive(t, c.Ended())
		if c.Open() || c.Name() != "memory-0" {
			t.Errorf("%s: %s, open %v", end, c.Name(), c.Open())
		}
		if used := c.TLS(); used.Version != "TLS1.3" || !slices.Contains([]string{"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"}, used.Suite) || used.Group != "X25519-MLKEM768" {
			t.Errorf("%s: %+v", end, used)
		}
		if c.Path() == "" || c.Path() == string(relay.Splice) {
			t.Errorf("%s: path %q", end, c.Path())
		}
		sent, received := s.Bytes()
		if s == b {
			sent, received = received, sent
		}
		if sent != 5 || received != 8 {
			t.Errorf("%s: %d there and %d back", end, sent, received)
		}
	}

	select {
	case <-a.Settled():
		t.Error("settled before the end")
	default:
	}
	a.Finish()
	for _, s := range []*Session{a, b} {
		c := wait(t, s)
		expect(t, c, CodeDone, "host-a")
		if !c.Done() || context.Cause(s.Context()) != c {
			t.Errorf("%v, but %v", c, context.Cause(s.Context()))
		}
	}
	expect(t, receive(t, h.handler.ended), CodeDone)
	if err := receive(t, h.served); err != nil { // the channel's or the session's
		t.Error(err)
	}
	expect(t, a.Call(t.Context(), "late", nil, nil), CodeDone)
	_, local := socketPair(t)
	_, err := a.OpenChannel(t.Context(), ChannelMemory, local)
	expect(t, err, CodeDone)
	if _, err := local.Write([]byte{1}); err == nil {
		t.Error("a channel that was not opened left its socket open")
	}
}

// The opener's Wait returns after the acceptor's handler has let go, and the
// handler is told of the end after its calls and channels have ended.
func TestSession_endsInOrder(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(a, b *Session){
		"done":               func(a, b *Session) { a.Finish() },
		"failed by opener":   func(a, b *Session) { a.Fail(&Cause{Code: CodeLibvirt, Text: "no"}) },
		"failed by acceptor": func(a, b *Session) { b.Fail(&Cause{Code: CodeLibvirt, Text: "no"}) },
		"a channel is cut":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inCall, inEnd := make(chan struct{}), make(chan struct{})
			callMayReturn, endMayReturn := make(chan struct{}), make(chan struct{})
			var called, letGo atomic.Bool
			h := newHosts(t, func(h *hosts) {
				h.handler.call = func(ctx context.Context, _ string, _ []byte) (any, error) {
					close(inCall)
					<-ctx.Done() // what may not be interrupted goes on
					<-callMayReturn
					called.Store(true)
					return nil, nil
				}
				h.handler.end = func(*Cause) {
					if !called.Load() {
						t.Error("End before the call returned")
					}
					close(inEnd)
					<-endMayReturn
					letGo.Store(true)
				}
			})
			a, b := h.open(Info{})
			appA, appB := h.channel(a, ChannelMemory)
			answered := make(chan error, 1)
			go func() { answered <- a.Call(context.Background(), "long", nil, nil) }()
			receive(t, inCall)
			if name == "done" {
				appA.Close() // or the channel would be given time
				appB.Close()
			}
			if end == nil {
				h.gate.cut(1, false)
			} else {
				end(a, b)
			}
			cause := receive(t, answered)
			receive(t, a.Settled())
			if cause != context.Cause(a.Context()) {
				t.Errorf("the call: %v, the session: %v", cause, context.Cause(a.Context()))
			}
			close(callMayReturn)
			receive(t, inEnd)
			for _, c := range b.Channels() {
				if c.Open() {
					t.Errorf("End before %s had ended", c.Name())
				}
			}
			select {
			case <-a.over:
				t.Error("the opener's session was over before the handler had let go")
			default:
			}
			close(endMayReturn)
			wait(t, a)
			if !letGo.Load() {
				t.Error("Wait returned before the handler had let go")
			}
			wait(t, b)
		})
	}
}

// What Accept's started does must not wait for the session to run.
func TestSession_mayFailBeforeItRuns(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(h *hosts) {
		h.terms.Accept = func(context.Context, Info) (Handler, func(*Session), error) {
			return h.handler, func(s *Session) {
				for range 3 {
					s.Fail(&Cause{Code: CodeLibvirt, Text: "libvirt has gone"})
				}
			}, nil
		}
	})
	a, err := h.opener.Open(t.Context(), Info{ID: NewID()})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, wait(t, a), CodeLibvirt, "host-b: libvirt has gone")
	expect(t, receive(t, h.handler.ended), CodeLibvirt, "host-b: libvirt has gone")
}

// Each end gives its signs of life as often as the other needs them.
func TestSession_pingsAsThePeerNeeds(t *testing.T) {
	t.Parallel()
	const idle = 200 // ms
	threePings := func(t *testing.T, conn io.Reader) {
		started := time.Now()
		for range 3 {
			if f, err := readFrame(conn, MaxControl); err != nil || f.Kind != kindPing {
				t.Errorf("%+v, %v", f, err)
				return
			}
		}
		if d := time.Since(started); d > 5*time.Second { // by default one comes each 7.5 s
			t.Errorf("three signs of life took %v", d)
		}
	}
	t.Run("acceptor", func(t *testing.T) {
		h := newHosts(t)
		conn := h.raw("host-a")
		f := openFrame(channelControl)
		f.Session, f.Idle = NewID(), idle
		if a := say(t, conn, f); a.Kind != kindAccept || a.Idle != 30000 {
			t.Fatalf("%+v", a)
		}
		threePings(t, conn)
	})
	t.Run("opener", func(t *testing.T) {
		done := make(chan struct{})
		o := fakePeer(t, func(conn relay.Conn) {
			defer close(done)
			if f, err := readFrame(conn, MaxOpen); err != nil || f.Idle != 30000 {
				t.Errorf("%+v, %v", f, err)
			}
			writeFrame(conn, &frame{Kind: kindAccept, Version: Version, Idle: idle}, MaxOpen)
			threePings(t, conn)
		})
		s, err := o.Open(t.Context(), Info{ID: NewID()})
		if err != nil {
			t.Fatal(err)
		}
		receive(t, done)
		expect(t, wait(t, s), CodeLink, "closed the connection without saying why")
	})
	for _, test := range []struct {
		idle time.Duration
		peer int
		want time.Duration
	}{
		{time.Second, 0, 250 * time.Millisecond},
		{time.Second, 1001, 250 * time.Millisecond},
		{time.Second, 400, 100 * time.Millisecond},
		{time.Second, 1, leastPing},
		{time.Second, -1, 250 * time.Millisecond},
		{time.Second, 1<<63 - 1, 250 * time.Millisecond},
		{0, 0, 7500 * time.Millisecond},
	} {
		s := newSession(Info{}, "", Limits{Idle: test.idle}, nil, test.peer)
		s.cancel(nil)
		if s.ping != test.want {
			t.Errorf("idle %v, the peer's %d ms: a ping every %v, want %v", test.idle, test.peer, s.ping, test.want)
		}
	}
}

func TestAcceptor_over(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	a, b := h.open(Info{})
	if err := h.acceptor.Over(t.Context(), "host-a", NewID()); err != nil {
		t.Errorf("a session that never was: %v", err)
	}
	if err := h.acceptor.Over(t.Context(), "host-c", a.ID); err != nil {
		t.Errorf("another peer's session: %v", err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no more")
	cancel(why)
	if err := h.acceptor.Over(gone, "host-a", a.ID); err != why {
		t.Errorf("a live session: %v", err)
	}
	over := make(chan error, 1)
	go func() { over <- h.acceptor.Over(context.Background(), "host-a", a.ID) }()
	a.Finish()
	if err := receive(t, over); err != nil {
		t.Error(err)
	}
	wait(t, b)
}

func TestCause_printable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"disk vda: Permission denied", "disk vda: Permission denied"},
		{"größer als 1 µs…", "größer als 1 µs…"},
		{"two\nlines\tand a tab", "two lines and a tab"},
		{"\x1b[31mred\x1b[0m\r\x00\x7f", "?[31mred?[0m???"},
		{"\u202egnp.exe\u2028", "?gnp.exe?"},
		{"\xff\xfe", "?"},
		{string(make([]byte, 0)), ""},
	} {
		if got := printable(test.in, 64); got != test.want {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
	for _, in := range []string{"123456789", "1234567ä", "1234567äö", "123456ä9", "12345€89", "123456€9", "1234567€", "1234567\xff\xff", "12345\n\xe2\x82", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		once := printable(in, 8)
		if len(once) > 8+len("…") || printable(once, 8) != once {
			t.Errorf("%q: %q, then %q", in, once, printable(once, 8))
		}
	}
	if got := printable("12345678", 8); got != "12345678" {
		t.Errorf("%q", got)
	}
}

func TestCause_fromAPeer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want Cause }{
		{Cause{}, Cause{Code: CodeRefused, Host: "host-b", Text: "no reason given"}},
		{Cause{Code: CodeDone, Host: "x", Text: "all is well"}, Cause{Code: CodeRefused, Host: "x", Text: "all is well"}},
		{Cause{Code: "new\x07", Channel: "memory-0", Text: "y"}, Cause{Code: "new?", Host: "host-b", Channel: "memory-0", Text: "y"}},
	} {
		if got := test.in.failureFrom("host-b"); *got != test.want {
			t.Errorf("%+v, want %+v", got, test.want)
		}
	}
	if c := (&Cause{Code: CodeDone, Text: "done"}).from("host-a"); !c.Done() {
		t.Errorf("the opener's verdict became %+v", c)
	}
}
