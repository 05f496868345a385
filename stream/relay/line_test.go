package relay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
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

// A unix socket's line waits in an epoll of its own: for room, for bytes, for a
// change of way meanwhile, and for a reset.
func TestWatched(t *testing.T) {
	start := func(t *testing.T) (*line, net.Conn) {
		a, b := unixPair(t)
		l := newLine(a)
		if s := l.own.Load(); s == nil || s.blocks() {
			t.Fatal("a unix socket's line does not watch")
		}
		t.Cleanup(func() { l.close(); b.Close() })
		return l, b
	}
	b := noise(4 << 20) // more than a socket holds
	write := func(l *line) chan error {
		done := make(chan error, 1)
		go func() {
			n, err := l.Writev([][]byte{b})
			if err == nil && n != len(b) {
				err = io.ErrShortWrite
			}
			done <- err
		}()
		return done
	}
	for _, change := range []bool{false, true} {
		l, far := start(t)
		done := write(l)
		first := make([]byte, 1)
		if _, err := io.ReadFull(far, first); err != nil {
			t.Fatal(err)
		}
		if change {
			l.block()
		}
		rest := make([]byte, len(b)-1)
		if _, err := io.ReadFull(far, rest); err != nil || first[0] != b[0] || !bytes.Equal(rest, b[1:]) {
			t.Fatal("something else arrived", err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		// And again: nothing is asked for any more, and must be.
		done = write(l)
		if _, err := io.ReadFull(far, make([]byte, len(b))); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	l, far := start(t)
	done := write(l)
	if _, err := far.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := l.Read(make([]byte, 1))
		read <- err
	}()
	l.reset()
	if err := <-done; !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a reset write: %v", err)
	}
	if err := <-read; err != io.EOF {
		t.Errorf("a reset read: %v", err)
	}
}

// What the kernel does of a relay goes by the net.Conn, beside a line.
func TestLineBesideItsConn(t *testing.T) {
	a, far := unixPair(t)
	l := polledLine(a)
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
	"watched":  (*line).watch,
	"blocking": func(l *line) { l.watch(); l.block() },
}

// A write deadline ends a write for which there is no room, however it waits.
func TestLineWriteDeadline(t *testing.T) {
	for way, enter := range lineWays {
		a, _ := unixPair(t)
		l := polledLine(a)
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

// Others that have the socket may change whether it waits. Then a line must
// neither wait in a call of which Go's scheduler doesn't know, nor take what was
// not read for bytes.
func TestLineOfSharedSocket(t *testing.T) {
	for way, enter := range lineWays {
		a, far := unixPair(t)
		l := polledLine(a)
		other := l.duplicate()
		enter(l)
		if err := unix.SetNonblock(other, way == "blocking"); err != nil {
			t.Fatal(err)
		}
		soon := time.Now().Add(10 * time.Millisecond)
		l.conn.SetReadDeadline(soon)
		if s := l.own.Load(); s != nil && !s.blocks() {
			s.in.file.SetReadDeadline(soon)
		}
		read := make(chan error, 1)
		go func() {
			_, err := l.Read(make([]byte, 2))
			read <- err
		}()
		select {
		case err := <-read:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", way, err)
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
