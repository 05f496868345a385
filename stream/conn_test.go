package stream

import (
	"context"
	"io"
	"net"
	"testing"
)

// taken is what a handler connects to where it takes the channel over.
type taken struct {
	net.Conn
	conns chan *Conn
}

func (c taken) Take(conn *Conn) { c.conns <- conn }

// owned opens a session with a channel that has an owner at both ends.
func owned(t *testing.T) (h *hosts, s *Session, ends [2]*Conn) {
	t.Helper()
	conns := make(chan *Conn, 1)
	h = newHosts(t, func(h *hosts) {
		h.handler.connect = func(context.Context, string, int) (net.Conn, error) { return taken{conns: conns}, nil }
	})
	s, _ = h.open(Info{})
	a, err := s.OpenConn(t.Context(), ChannelLibvirt)
	if err != nil {
		t.Fatal(err)
	}
	b := receive(t, conns)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return h, s, [2]*Conn{a, b}
}

func TestConn_carries(t *testing.T) {
	t.Parallel()
	h, s, ends := owned(t)
	for i, end := range ends {
		go func() {
			end.Write([]byte("some words"))
			end.CloseWrite()
		}()
		if got, err := io.ReadAll(ends[1-i]); string(got) != "some words" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, end := range ends {
		c := end.Channel
		if used := c.TLS(); used.Version == "" || used.Suite == "" || c.Path() != "records" || !c.Open() || c.Sent() != 10 || c.Received() != 10 {
			t.Errorf("%s: open %v, %+v, path %q, %d sent, %d received", c.Name(), c.Open(), used, c.Path(), c.Sent(), c.Received())
		}
		end.Close()
		receive(t, c.Ended())
		if c.Open() {
			t.Error("open after its end")
		}
	}
	s.Finish()
	expect(t, wait(t, s), CodeDone)
	expect(t, receive(t, h.handler.ended), CodeDone)
}

// What breaks the connection fails the session, at both ends in one's words.
func TestConn_linkBreaks(t *testing.T) {
	t.Parallel()
	h, s, ends := owned(t)
	h.gate.cut(1, true)
	if _, err := ends[0].Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read %v", err)
	}
	receive(t, ends[0].Channel.Ended())
	expect(t, wait(t, s), CodeLink, "libvirt-0", "host-b")
	ends[1].Read(make([]byte, 1))
	expect(t, receive(t, h.handler.ended), CodeLink, "libvirt-0")
}

// The session's end is its channels', whatever their owners do.
func TestConn_sessionEnds(t *testing.T) {
	t.Parallel()
	h, s, ends := owned(t)
	s.Fail(&Cause{Code: CodeCancelled, Text: "no longer wanted"})
	for _, end := range ends {
		if _, err := end.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read %v", err)
		}
		receive(t, end.Channel.Ended())
	}
	expect(t, wait(t, s), CodeCancelled, "no longer wanted")
	expect(t, receive(t, h.handler.ended), CodeCancelled, "no longer wanted")
	if _, err := s.OpenConn(t.Context(), ChannelLibvirt); err == nil {
		t.Error("a channel was opened after the session's end")
	}
}
