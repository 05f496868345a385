package relay

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Many sockets at once that hold little, so that both directions wait all the time,
// also for room; at a moment that the moved bytes tell some are reset. No byte may
// be lost, and nobody wait for what has come.
func TestSocketsAtRandom(t *testing.T) {
	a, b := tcpPair(t) // from the first on Go's poller has descriptors too
	a.Close()
	b.Close()
	fds := openFDs(t)
	for round := range 8 {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() { socketAtRandom(t, rand.New(rand.NewPCG(uint64(round), uint64(i)))) })
		}
		wg.Wait()
	}
	if now := openFDs(t); now > fds {
		t.Errorf("%d file descriptors before, %d after", fds, now)
	}
}

// socketAtRandom moves bytes both ways between a socket and its other end.
func socketAtRandom(t *testing.T, r *rand.Rand) {
	pair := unixPair
	if r.IntN(4) == 0 {
		pair = tcpPair
	}
	a, far := pair(t)
	for _, c := range []net.Conn{a, far} {
		rawConn(c).Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096<<r.IntN(5)) })
	}
	s := newSocket(a)
	out, in := noise(1+r.IntN(1<<r.IntN(21))), noise(1+r.IntN(1<<r.IntN(21)))
	reset := r.IntN(4) == 0
	at, changed := r.IntN(len(out)), make(chan struct{})
	piece, space := 1+r.IntN(1<<r.IntN(18)), 1+r.IntN(1<<r.IntN(18))
	change := func() {
		if reset {
			Reset(a)
		}
		close(changed)
	}

	var wg sync.WaitGroup
	wg.Go(func() {
		for b := out; len(b) > 0; {
			n := min(piece, len(b))
			if n%2 == 0 {
				room, err := s.Room(func() {})
				if err != nil && !reset || err == nil && room <= 0 {
					t.Errorf("room for %d bytes, %v", room, err)
				}
				n = min(n, max(room, 1))
			}
			if wrote, err := s.Writev([][]byte{b[:n/2], b[n/2 : n]}); err != nil || wrote != n {
				if !reset {
					t.Errorf("wrote %d of %d: %v", wrote, n, err)
				}
				return
			}
			b = b[n:]
		}
		if err := s.CloseWrite(); err != nil && !reset {
			t.Error(err)
		}
	})
	wg.Go(func() {
		got, err := io.ReadAll(struct{ io.Reader }{s})
		if !reset && (err != nil || !bytes.Equal(got, in)) {
			t.Errorf("the socket read %d of %d bytes: %v", len(got), len(in), err)
		}
	})
	wg.Go(func() {
		if _, err := far.Write(in); err != nil && !reset {
			t.Error(err)
		}
		closeWrite(far)
	})
	var got []byte
	for b := make([]byte, space); ; {
		n, err := far.Read(b)
		if before := len(got); before <= at && at < before+n {
			go change()
		}
		got = append(got, b[:n]...)
		if r.IntN(4) == 0 {
			runtime.Gosched()
		}
		if err != nil {
			if !reset && (err != io.EOF || !bytes.Equal(got, out)) {
				t.Errorf("%d of %d bytes have arrived: %v", len(got), len(out), err)
			}
			break
		}
	}
	if reset {
		far.Close()
	}
	if len(got) > at {
		<-changed
	}
	wg.Wait()
	a.Close()
	far.Close()
}
