package relay

import (
	"io"
	"slices"
	"sync"
	"testing"
	"time"
)

// takeAll takes all permits, for which there is time until those that have some are done. The
// function that it returns gives them back.
func takeAll(t *testing.T) (free func()) {
	t.Helper()
	late := time.After(patienceOfTests)
	taken := 0
	free = sync.OnceFunc(func() {
		for range taken {
			<-permits
		}
	})
	for ; taken < cap(permits); taken++ {
		select {
		case permits <- struct{}{}:
		case <-late:
			free()
			t.Fatalf("%d of %d permits are not given back", cap(permits)-taken, cap(permits))
		}
	}
	return free
}

// Where others have all permits, much waits for them, in order; little does not, nor does the end of
// a run.
func TestPermits(t *testing.T) {
	h := hops[slices.IndexFunc(hops, func(h hop) bool { return h.name == "records" })]
	free := takeAll(t)
	defer free()
	light, bulk, cancelled := h.start(t), h.start(t), h.start(t)
	b := noise(16 << 20)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		writeAll(t, bulk.app[0], b)
		closeWriteOf(t, bulk.app[0])
	})
	wg.Go(func() { cancelled.app[0].Write(b) })
	arrived := make(chan struct{})
	wg.Go(func() {
		defer close(arrived)
		expectEnd(t, bulk.app[1], b)
	})
	message := []byte("little")
	for range 200 {
		writeAll(t, light.app[0], message)
		expect(t, light.app[1], message)
		writeAll(t, light.app[1], message)
		expect(t, light.app[0], message)
	}
	select {
	case <-arrived:
		t.Error("much was moved without a permit")
	default:
	}
	for i := range 2 {
		cancelled.cancel[i](io.ErrClosedPipe)
	}
	cancelled.close(t)
	free()
	<-arrived
	closeWriteOf(t, bulk.app[1])
	expectEnd(t, bulk.app[0], nil)
	bulk.orderly(t, int64(len(b)), 0)
	closeWriteOf(t, light.app[0])
	closeWriteOf(t, light.app[1])
	for i := range 2 {
		if r := light.wait(t, i); r.Err != nil {
			t.Error(r.Err)
		}
	}
	light.close(t)
}
