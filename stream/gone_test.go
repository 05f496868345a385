package stream

import (
	"context"
	"io"
	"testing"
)

// judge is a handler that says whether QEMU has died.
type judge struct {
	*handler
	gone chan *Cause
}

func (j *judge) LocalGone(c *Cause) { j.gone <- c }

// judged are hosts whose ends both ask before they take QEMU's closing of its socket for a failure.
func judged(t *testing.T) (h *hosts, atA, atB chan *Cause) {
	atA, atB = make(chan *Cause, 10), make(chan *Cause, 10)
	h = newHosts(t, func(h *hosts) {
		h.opener.LocalGone = func(c *Cause) { atA <- c }
		h.terms.Accept = func(context.Context, Info) (Handler, func(*Session), error) {
			return &judge{h.handler, atB}, func(s *Session) { h.accepted <- s }, nil
		}
	})
	return h, atA, atB
}

// QEMU may close a channel with bytes unread after work well done.
func TestLocalGone_sessionGoesOn(t *testing.T) {
	t.Parallel()
	for _, atOpener := range []bool{true, false} {
		h, atA, atB := judged(t)
		a, b := h.open(Info{})
		app, far := h.channel(a, ChannelMemory)
		told, session := atA, a
		if !atOpener {
			app, far, told, session = far, app, atB, b
		}
		far.Write([]byte("unread"))
		until(t, "bytes at the near end", func() bool { _, n := session.Bytes(); return n == 6 })
		app.Close()
		expect(t, receive(t, told), CodeLocal, "channel memory-0: reading from QEMU's migration socket failed: ", "connection reset")
		if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the far end read %d, %v, want the end of the stream", n, err)
		}
		far.Close()
		a.Finish()
		if ca, cb := wait(t, a), wait(t, b); !ca.Done() || !cb.Done() {
			t.Errorf("ended by %v and %v, want done", ca, cb)
		}
	}
}

// Where it has died the handler's word ends the session, for both hosts.
func TestLocalGone_handlerFails(t *testing.T) {
	t.Parallel()
	h, _, atB := judged(t)
	a, b := h.open(Info{})
	appA, appB := h.channel(a, ChannelMemory)
	appA.Write([]byte("unread"))
	until(t, "bytes at the other end", func() bool { _, n := b.Bytes(); return n == 6 })
	appB.Close()
	c := receive(t, atB)
	c.Text += "; QEMU has ended"
	b.Fail(c)
	ca, cb := wait(t, a), wait(t, b)
	expect(t, ca, CodeLocal, "host-b: channel memory-0: reading from QEMU's migration socket failed: ", "; QEMU has ended")
	if ca.Error() != cb.Error() {
		t.Errorf("two causes:\n%v\n%v", ca, cb)
	}
}
