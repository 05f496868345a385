package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// A control channel whose peer takes nothing more fails in words of its own,
// and stays as it is: half a frame may have gone.
func TestControl_stalledWrite(t *testing.T) {
	t.Parallel()
	a, b := socketPair(t)
	defer b.Close()
	a.SetWriteBuffer(4096)
	c := &control{conn: relay.Plain(a)}
	long := &frame{Kind: kindReply, Body: make([]byte, 300<<10)}
	for i := range long.Body {
		long.Body[i] = 0xc0
	}
	started := time.Now()
	err := c.write(long)
	if took := time.Since(started); took < writeTimeout+time.Second || took > writeTimeout+4*time.Second {
		t.Errorf("it took %v", took)
	}
	l := link{host: "host-a", peer: "host-b", address: "192.0.2.1:16514"}
	expect(t, l.cause(channelControl, err), CodeLink,
		"host-a: channel control: the connection with host-b (192.0.2.1:16514) is stalled: a frame of 307221 bytes was not taken within 6s: the link is down, or the host is frozen")
	if again := c.write(&frame{Kind: kindPing}); again != err {
		t.Errorf("the next frame: %v", again)
	}
	if err := c.write(&frame{Kind: kindReply, Body: make([]byte, MaxControl)}); !errors.Is(err, errTooLong) {
		t.Errorf("a frame that is too long: %v", err)
	}
}

// Large frames both ways at once, with more of them than fit into the sockets,
// hold up neither each other nor the signs of life.
func TestEnd_largeFramesBothWays(t *testing.T) {
	t.Parallel()
	large := make([]byte, 3<<20)
	h := newHosts(t, func(h *hosts) {
		h.handler.call = func(context.Context, string, []byte) (any, error) { return large, nil }
		h.opener.Limits.Idle, h.terms.Limits.Idle = 8*time.Second, 8*time.Second
	})
	a, _ := h.open(Info{})
	const calls = 4
	var answered atomic.Int32
	results := make(chan error, calls)
	for range calls {
		go func() {
			var out []byte
			err := a.Call(t.Context(), "mirror", large, &out)
			if len(out) == len(large) {
				answered.Add(1)
			}
			results <- err
		}()
	}
	for range calls {
		if err := receive(t, results); err != nil {
			t.Error(err)
		}
	}
	if n := answered.Load(); n != calls {
		t.Errorf("%d whole answers of %d", n, calls)
	}
	a.Finish()
	expect(t, wait(t, a), CodeDone)
}
