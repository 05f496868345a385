package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel does of a relay goes by the net.Conn, beside a socket's own.
func TestSocketBesideItsConn(t *testing.T) {
	a, far := unixPair(t)
	s := newSocket(a)
	writeAll(t, far, []byte("12"))
	expect(t, a, []byte("1"))
	if n, err := s.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("read %d bytes: %v", n, err)
	}
}

// A write deadline ends a write for which there is no room.
func TestSocketWriteDeadline(t *testing.T) {
	a, _ := unixPair(t)
	s := newSocket(a)
	s.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := s.Write(make([]byte, 4<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// Others that have the socket may change whether it waits. It must not wait in a
// call all the same, for nothing would end that.
func TestSocketOfOthers(t *testing.T) {
	a, far := unixPair(t)
	s := newSocket(a)
	s.rc.Control(func(fd uintptr) { unix.SetNonblock(int(fd), false) })
	read := func() <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := s.Read(make([]byte, 1))
			done <- err
		}()
		return done
	}
	first := read()
	writeAll(t, far, []byte("a"))
	if err := <-first; err != nil {
		t.Error(err)
	}
	second := read()
	Reset(a)
	select {
	case err := <-second:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(patienceOfTests):
		t.Error("it waits in the system call")
		far.Close()
		<-second
	}
}

// A full socket has no room until its reader has read, and then about as much as
// a write takes without waiting.
func TestRoom(t *testing.T) {
	for name, pair := range map[string]socketPair{"unix": unixPair, "tcp": tcpPair} {
		t.Run(name, func(t *testing.T) {
			a, far := pair(t)
			s := newSocket(a)
			for filled := 0; ; {
				s.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
				n, err := s.Room(func() {})
				if isErr(err, os.ErrDeadlineExceeded) {
					if filled == 0 {
						t.Error("there was none at all")
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				wrote, err := s.Write(make([]byte, n))
				if err != nil {
					t.Fatalf("room for %d bytes: %d written, %v", n, wrote, err)
				}
				filled += wrote
			}
			s.SetWriteDeadline(time.Time{})
			go io.Copy(io.Discard, far)
			if n, err := s.Room(func() {}); n < 16<<10 || err != nil {
				t.Errorf("room for %d bytes, %v", n, err)
			}
		})
	}
	if n, err := (*socket)(nil).Room(nil); n <= 0 || err != nil {
		t.Errorf("without a socket: %d, %v", n, err)
	}
}
