package relay

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// drained is an epoll that is asked late: when all that was written has been read.
type drained struct {
	syscall.RawConn
	far net.Conn
}

func (d drained) Control(f func(uintptr)) error {
	rawConn(d.far).Read(func(fd uintptr) bool {
		for b, n := make([]byte, 64<<10), 1; n > 0; {
			n, _ = unix.Read(int(fd), b)
		}
		return true
	})
	return d.RawConn.Control(f)
}

// An epoll tells nothing of a socket that it has on its list already: of room
// that is made before it is asked for after an earlier wait.
func TestRoomBeforeItIsAskedFor(t *testing.T) {
	a, far := unixPair(t)
	l := newLine(a)
	write := func(n int) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := l.Write(make([]byte, n))
			done <- err
		}()
		return done
	}
	done := write(4 << 20)
	if _, err := io.ReadFull(far, make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	out := l.own.Load().out
	out.rc = drained{out.rc, far}
	done = write(300 << 10) // more than the socket holds, less than twice that
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patienceOfTests):
		t.Error("waits for room that there is")
		l.reset()
		<-done
	}
	l.close()
}
