package relay

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
)

// takeAll takes all permits, for which there is time until those that have some are done. The
// function that it returns gives them back.
func takeAll(t *testing.T) (free func()) {
	t.Helper()
	late, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	all := make([]permit, permits.size)
	free = sync.OnceFunc(func() {
		for i := range all {
			all[i].give()
		}
	})
	for i := range all {
		p := &all[i]
		p.ended, p.wanted = late.Done(), true
		if p.take(func() {}); !p.held.Load() {
			free()
			t.Fatalf("%d of %d permits are not given back", permits.size-i, permits.size)
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

// Who is in the middle of a turn goes before those that wait for one, and these come in order. Who
// leaves takes no permit along.
func TestTurns(t *testing.T) {
	pool := newPermitPool(1)
	var holder, gone, first, second permit
	begun := permit{turn: 1}
	if !pool.take(&holder) {
		t.Fatal("no permit for the first")
	}
	for _, p := range []*permit{&gone, &first, &second, &begun} {
		if pool.take(p) {
			t.Fatal("two have the one permit")
		}
	}
	pool.leave(&gone)
	for i, next := range []*permit{&begun, &first, &second} {
		if pool.give(); len(next.given) == 0 {
			t.Fatalf("permit %d went to another", i)
		}
		<-next.given
	}
	pool.take(&first)
	pool.take(&begun)
	pool.give()
	if pool.leave(&begun); len(first.given) == 0 {
		t.Error("a permit given to one that left was lost")
	}
	if pool.give(); pool.out() != 0 {
		t.Errorf("%d permits are out in the end", pool.out())
	}
}

// A turn ends by the bytes that it has moved, or by many small moves.
func TestTurnEnds(t *testing.T) {
	var p permit
	for _, n := range []int{1, roomEnough, turnBytes / 4} {
		moves := 1
		for p.moved(n); p.turn > 0; p.moved(n) {
			moves++
		}
		if want := turnBytes / max(n, roomEnough); moves != want {
			t.Errorf("a turn of %d moves of %d bytes, want %d", moves, n, want)
		}
	}
}
