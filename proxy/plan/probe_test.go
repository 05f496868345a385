package plan

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Noise is counted by pieces, no more than a probe has, and at the rate at which it gets through.
func TestProbe(t *testing.T) {
	for name, bounds := range map[string]struct{ sent, taken probeBounds }{
		"by default":                 {usualBounds, usualBounds},
		"the least that has a rate":  {probeBounds{2, time.Minute}, probeBounds{2, time.Minute}},
		"less is taken than is sent": {probeBounds{64, 5 * time.Second}, probeBounds{8, time.Minute}},
	} {
		near, counted := probed(t, func(far net.Conn) { count(far, bounds.taken) })
		rate, err := measure(near, bounds.sent)
		if err != nil || rate <= 0 {
			t.Errorf("%s: %g bytes per second, %v", name, rate, err)
		}
		near.SetDeadline(time.Now().Add(time.Minute))
		if n, err := io.Copy(io.Discard, near); n != 0 || err != nil {
			t.Errorf("%s: %d more, %v", name, n, err)
		}
		<-counted
	}
}

// Whoever says nothing of what has come makes no rate, and neither does who counts what was not sent.
func TestProbeIsCountedWrong(t *testing.T) {
	const patience = 200 * time.Millisecond
	began := time.Now()
	near, _ := probed(t, func(far net.Conn) { io.Copy(io.Discard, far) })
	if rate, err := measure(near, probeBounds{usualBounds.Pieces, patience}); err == nil || time.Since(began) < patience {
		t.Errorf("%g bytes per second after %v", rate, time.Since(began))
	}
	near, _ = probed(t, func(far net.Conn) {
		far.Write(make([]byte, usualBounds.Pieces))
		io.Copy(io.Discard, far)
	})
	if rate, err := measure(near, usualBounds); err == nil || !strings.Contains(err.Error(), "more is counted") {
		t.Errorf("%g bytes per second, %v", rate, err)
	}
}

// probed is the sending end of a probe whose other end is taken by a function.
func probed(t *testing.T, take func(far net.Conn)) (near *net.UnixConn, taken <-chan struct{}) {
	near, far, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() {
		near.Close()
		<-over
		far.Close()
	})
	go func() {
		defer close(over)
		take(far)
	}()
	return near, over
}
