package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// wireOf is what frames are on the wire.
func wireOf(f *testing.F, frames ...*frame) []byte {
	var b bytes.Buffer
	for _, one := range frames {
		if err := writeFrame(&b, one, MaxControl); err != nil {
			f.Fatal(err)
		}
	}
	return b.Bytes()
}

// FuzzServe: whatever a peer says once it is authenticated, and however it ends, nothing of it is
// left: no session, no share, and a handler for each session that was accepted has ended.
func FuzzServe(f *testing.F) {
	id := "00112233445566778899aabbccddeeff"
	control, data, ask := openFrame(channelControl), openFrame(ChannelMemory), openFrame(channelAsk)
	control.Session, data.Session, ask.Name = id, id, "check"
	call := &frame{Kind: kindCall, Serial: 1, Name: "echo", Body: []byte{0xa1, 'x'}}
	done := &frame{Kind: kindEnd, Cause: &Cause{Code: CodeDone, Text: "done"}}
	f.Add(wireOf(f, control, call, &frame{Kind: kindPing}, done), []byte{})
	f.Add(wireOf(f, control, call, call, call, call, call, call, call, call, call), wireOf(f, data))
	f.Add(wireOf(f, ask), wireOf(f, data))
	f.Add(wireOf(f, control, &frame{Kind: kindFailed, Cause: done.Cause}), wireOf(f, control))
	f.Add(wireOf(f, control, &frame{Kind: kindAccept}), append(wireOf(f, data), "raw bytes"...))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if len(first) > 1<<16 || len(second) > 1<<16 {
			return
		}
		h, begun := &handler{ended: make(chan *Cause, 2)}, 0
		h.connect = func(context.Context, string, int) (net.Conn, error) {
			app, local, err := newSocketPair()
			if err == nil {
				go drain(app)
			}
			return local, err
		}
		h.call = func(_ context.Context, name string, _ []byte) (any, error) { return name, nil }
		a := &Acceptor{Host: "host-b"}
		terms := &Terms{Share: Share{Channels: 2, Asks: 1}, Limits: Limits{Handshake: 50 * time.Millisecond, Idle: time.Second, Length: time.Second}}
		terms.Accept = func(context.Context, Info) (Handler, func(*Session), error) {
			begun++
			return h, nil, nil
		}
		terms.Ask = func(context.Context, string, string, []byte) (any, error) { return nil, errors.New("no answer") }

		far, answered, served := serves(t, a, terms, first)
		<-answered
		other, _, otherServed := serves(t, a, terms, second)
		other.CloseWrite()
		<-otherServed
		far.CloseWrite()
		<-served
		for range begun {
			<-h.ended
		}
		if len(a.sessions) != 0 || len(a.shares.of) != 0 {
			t.Errorf("%d sessions and %d shares are left", len(a.sessions), len(a.shares.of))
		}
	})
}

// serves has a serve a peer that says this. answered is closed once the peer has an answer, or the
// connection has ended.
func serves(t *testing.T, a *Acceptor, terms *Terms, says []byte) (far *net.UnixConn, answered, served <-chan struct{}) {
	far, near, err := newSocketPair()
	if err != nil {
		t.Fatal(err)
	}
	first, over := make(chan struct{}), make(chan struct{})
	go func() {
		far.Read(make([]byte, 1))
		close(first)
		drain(far)
	}()
	go far.Write(says)
	go func() {
		a.Serve(context.Background(), relay.Plain(near), func() (Who, *Terms) { return Who{Peer: "host-a"}, terms })
		close(over)
	}()
	return far, first, over
}

// drain reads to the end, and closes.
func drain(c net.Conn) {
	io.Copy(io.Discard, c)
	c.Close()
}

// FuzzOpener: whatever an acceptor answers, opening a session, a call and a channel come to an end,
// and the session's cause is in words.
func FuzzOpener(f *testing.F) {
	accept := &frame{Kind: kindAccept, Version: Version, Host: "host-b", Idle: 30000}
	f.Add(wireOf(f, accept, &frame{Kind: kindReply, Serial: 1, Body: []byte{0xa1, 'x'}}), wireOf(f, accept))
	f.Add(wireOf(f, accept, &frame{Kind: kindFailed, Cause: &Cause{Code: CodeLibvirt, Text: "no"}}), wireOf(f, accept))
	f.Add(wireOf(f, accept, &frame{Kind: kindFailed, Symptom: true, Cause: &Cause{Code: CodeDone}}), []byte("\x00\x00\x00\x01"))
	f.Add(wireOf(f, &frame{Kind: kindRefuse, Cause: &Cause{Code: "x", Text: "\x1b[2J"}}), []byte{})
	f.Fuzz(func(t *testing.T, control, data []byte) {
		if len(control) > 1<<16 || len(data) > 1<<16 {
			return
		}
		says := [][]byte{control, data}
		o := &Opener{Host: "host-a", Peer: "host-b", Limits: Limits{Handshake: 100 * time.Millisecond, Idle: time.Second, Length: time.Second}}
		o.Dial = func(context.Context, string, bool) (relay.Conn, error) {
			near, far, err := newSocketPair()
			if err != nil || len(says) == 0 {
				return nil, errors.New("no more")
			}
			says, data = says[1:], says[0]
			go drain(far)
			go func() {
				far.Write(data)
				far.CloseWrite()
			}()
			return relay.Plain(near), nil
		}
		s, err := o.Open(context.Background(), Info{ID: NewID()})
		if err != nil {
			return
		}
		var out any
		s.Call(context.Background(), "echo", "x", &out)
		local, app := net.Pipe()
		if _, err := s.OpenChannel(context.Background(), ChannelMemory, local); err == nil {
			app.Close()
		}
		s.Fail(&Cause{Code: CodeCancelled, Text: "the end"})
		if c := s.Wait(); c == nil || c.Code == "" || c.Text != printable(c.Text, len(c.Text)) {
			t.Errorf("the cause is %+v", c)
		}
	})
}
