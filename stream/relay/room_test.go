package relay

import (
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A unix socket with room for more than usual gets the usual until its reader is seen to read, and
// who waits meanwhile is woken by the first piece that is read.
func TestRoomForReaders(t *testing.T) {
	a, b := unixPair(t)
	defer a.Close()
	defer b.Close()
	b.SetReadDeadline(time.Now().Add(patienceOfTests))
	s := newSocket(a)
	s.rc.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 208<<10) }) // doubled
	piece := make([]byte, 16<<10)
	fill := func() (n int) {
		for {
			free := 0
			s.rc.Control(func(fd uintptr) { free = room(int(fd), false, s.wrote >= provenBytes) })
			if free == 0 {
				return n
			}
			if _, err := s.Write(piece); err != nil {
				t.Fatal(err)
			}
			n += len(piece)
		}
	}
	left := fill()
	if left == 0 || left > usualRoom {
		t.Errorf("%d bytes to a reader that has read nothing", left)
	}
	for s.wrote < 2*provenBytes {
		found := make(chan error)
		go func() {
			_, err := s.Room(func() {})
			found <- err
		}()
		if _, err := io.ReadFull(b, make([]byte, left)); err != nil {
			t.Fatal(err)
		}
		if err := <-found; err != nil {
			t.Fatal(err)
		}
		left = fill()
	}
	if left <= usualRoom {
		t.Errorf("%d bytes to one that reads", left)
	}
}
