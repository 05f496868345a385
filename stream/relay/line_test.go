package relay

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
		blocks := h.name != "records wrapped" // of that not much is read at once
		for began := time.Now(); (blocks || moved < 64<<20) && blocking.Load() < 2; moved += int64(len(b)) {
			wg.Go(func() { writeAll(t, c.app[0], b) })
			expect(t, c.app[1], b)
			wg.Wait()
			if time.Since(began) > patienceOfTests {
				break
			}
		}
		if blocks && blocking.Load() != 2 {
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
		c.orderly(t, moved+9, 27)
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
		c.orderly(t, int64(len(b)), 0)
	}
}

// What the kernel does of a relay goes by the net.Conn, beside a line.
func TestLineBesideItsConn(t *testing.T) {
	a, far := unixPair(t)
	l := newLine(a)
	defer l.close()
	writeAll(t, far, []byte("12"))
	expect(t, l.conn, []byte("1"))
	if n, err := l.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("read %d bytes: %v", n, err)
	}
}

// lineWays are the ways in which a unix socket's line waits.
var lineWays = map[string]func(*line){
	"polled":   func(*line) {},
	"blocking": (*line).block,
}

// A write deadline ends a write for which there is no room, however it waits.
func TestLineWriteDeadline(t *testing.T) {
	for way, enter := range lineWays {
		a, _ := unixPair(t)
		l := newLine(a)
		enter(l)
		l.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		done := make(chan error, 1)
		go func() {
			_, err := l.Write(make([]byte, 4<<20))
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", way, err)
			}
		case <-time.After(patienceOfTests):
			t.Errorf("%s: the write goes on", way)
			l.reset()
			<-done
		}
		l.close()
	}
}

// Others that have the socket may change whether it waits. A polled line must
// not wait in a call all the same, for Go would not close the socket then; and
// one that blocks must wait, and take nothing but bytes for bytes.
func TestLineOfSharedSocket(t *testing.T) {
	for way, enter := range lineWays {
		a, far := unixPair(t)
		l := newLine(a)
		other := l.duplicate()
		enter(l)
		if err := unix.SetNonblock(other, way == "blocking"); err != nil {
			t.Fatal(err)
		}
		want := "ab"
		read := reads(l)
		if way == "polled" {
			l.conn.SetReadDeadline(time.Now())
			want = os.ErrDeadlineExceeded.Error()
		} else {
			stopWorld(t)
			writeAll(t, far, []byte(want))
		}
		select {
		case got := <-read:
			if !strings.HasSuffix(got, want) {
				t.Errorf("%s: %s", way, got)
			}
		case <-time.After(patienceOfTests):
			t.Errorf("%s: waits in the system call", way)
			far.Close()
			<-read
		}
		l.close()
		unix.Close(other)
	}
}

// Who waits in a system call leaves processors to others, and does not keep the
// runtime from collecting garbage.
func TestLineLeavesTheWorldAlone(t *testing.T) {
	for processors, most := range map[int]int32{1: 0, 2: 1, 5: 2} {
		old := runtime.GOMAXPROCS(processors)
		var lines []*line
		var reading []<-chan string
		for range 4 {
			a, far := unixPair(t)
			l := newLine(a)
			l.block()
			lines, reading = append(lines, l), append(reading, reads(l))
			writeAll(t, far, []byte("a")) // one that does not wait
			if got := <-reading[len(reading)-1]; got != "a" {
				t.Errorf("%d processors: %s", processors, got)
			}
			reading[len(reading)-1] = reads(l)
		}
		if n := mayUntold.Load(); n != most {
			t.Errorf("%d of %d processors may be kept, want %d", n, processors, most)
		}
		stopWorld(t)
		for began := time.Now(); untold.Load() != 0; runtime.Gosched() {
			if time.Since(began) > patienceOfTests {
				t.Fatalf("%d processors: %d calls are not told of, and wait on", processors, untold.Load())
			}
		}
		for i, l := range lines {
			l.reset()
			if got := <-reading[i]; got == "" {
				t.Errorf("%d processors: a reset line reads on", processors)
			}
			l.close()
		}
		runtime.GOMAXPROCS(old)
	}
}

// reads is what comes of one read, in words.
func reads(l *line) <-chan string {
	read := make(chan string, 1)
	go func() {
		b := make([]byte, 10)
		n, err := l.Read(b)
		if err != nil {
			read <- err.Error()
			return
		}
		read <- string(b[:n])
	}()
	return read
}

// stopWorld stops the world some times, between which others run.
func stopWorld(t *testing.T) {
	t.Helper()
	began := time.Now()
	for range 50 {
		runtime.Gosched()
		runtime.GC()
	}
	if took := time.Since(began); took > patienceOfTests {
		t.Errorf("the world took %v to stop", took)
	}
}

// A write deadline stays when a line leaves the poller.
func TestLineKeepsItsDeadline(t *testing.T) {
	a, _ := unixPair(t)
	l := newLine(a)
	l.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	l.block()
	if _, err := l.Write(make([]byte, 4<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	l.close()
}
