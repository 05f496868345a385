package plan

import (
	"io"
	"testing"
	"time"
)

// Noise is counted by pieces, no more than a probe has, and at the rate at which it gets through.
func TestProbe(t *testing.T) {
	near, far, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		count(far)
	}()
	rate, err := measure(near)
	if err != nil || rate <= 0 {
		t.Errorf("%g bytes per second, %v", rate, err)
	}
	near.SetDeadline(time.Now().Add(time.Minute))
	if n, err := io.Copy(io.Discard, near); n != 0 || err != nil {
		t.Errorf("%d more, %v", n, err)
	}
	<-counted

	// Whoever says nothing of what has come makes no rate.
	near, far, err = socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	go io.Copy(io.Discard, far)
	began := time.Now()
	if rate, err := measure(near); err == nil || time.Since(began) < probeTime {
		t.Errorf("%g bytes per second after %v", rate, time.Since(began))
	}
}
