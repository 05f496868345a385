package relay

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// A relay that moves much leaves the poller, at both ends, while its other
// direction waits there; that direction must not notice.
func TestLeavingThePoller(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	eachHop(t, func(t *testing.T, h hop) {
		if h.path != Records {
			return // it has no poller to leave
		}
		c := h.start(t)
		b := noise(1 << 20)
		var moved int64
		var wg sync.WaitGroup
		for began := time.Now(); moved < 64<<20 && blocking.Load() < 2; moved += int64(len(b)) {
			wg.Go(func() { writeAll(t, c.app[0], b) })
			expect(t, c.app[1], b)
			wg.Wait()
			if time.Since(began) > patienceOfTests {
				break
			}
		}
		if h.name != "records wrapped" && blocking.Load() != 2 {
			t.Errorf("%d relays block, want both", blocking.Load())
		}
		for range 3 {
			writeAll(t, c.app[1], []byte("other way"))
			expect(t, c.app[0], []byte("other way"))
		}
		closeWriteOf(t, c.app[1])
		expectEnd(t, c.app[0], nil)
		writeAll(t, c.app[0], []byte("first way"))
		closeWriteOf(t, c.app[0])
		expectEnd(t, c.app[1], []byte("first way"))
		c.orderly(t, h.path, moved+9, 27)
		if n := blocking.Load(); n != 0 {
			t.Errorf("%d relays still count as blocking", n)
		}
	})
}

// No more relays block than there are processors.
func TestFewBlock(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	h := hops[4]
	if h.path != Records {
		t.Fatal(h.name)
	}
	var cs []*chain
	b := noise(8 << 20)
	for range 3 {
		c := h.start(t)
		var wg sync.WaitGroup
		wg.Go(func() { writeAll(t, c.app[0], b) })
		expect(t, c.app[1], b)
		wg.Wait()
		cs = append(cs, c)
	}
	if n := blocking.Load(); n != 1 {
		t.Errorf("%d relays block, want 1", n)
	}
	for _, c := range cs {
		closeWriteOf(t, c.app[0])
		closeWriteOf(t, c.app[1])
		c.orderly(t, h.path, int64(len(b)), 0)
	}
}
