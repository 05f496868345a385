package relay

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// A quick socket does what the one below does, deadlines and closing included.
func TestQuick(t *testing.T) {
	for name, pair := range map[string]socketPair{"unix": unixPair, "tcp": tcpPair, "wrapped": wrappedPair} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			q := Quick(a.(Socket))
			const n = 1_000_000
			go func() {
				writeAll(t, q, noise(n))
				closeWriteOf(t, q)
			}()
			expectEnd(t, b, noise(n))
			writeAll(t, b, noise(n/10))
			expect(t, q, noise(n/10))
			if n, err := q.Read(nil); n != 0 || err != nil {
				t.Errorf("read %d, %v into nothing", n, err)
			}

			q.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := q.Read(make([]byte, 1)); !isErr(err, os.ErrDeadlineExceeded) {
				t.Errorf("past its deadline: %v", err)
			}
			q.SetReadDeadline(time.Time{})
			read := make(chan error)
			go func() {
				_, err := q.Read(make([]byte, 1))
				read <- err
			}()
			q.Close()
			if err := <-read; !isErr(err, net.ErrClosed) && err != io.EOF {
				t.Errorf("closed: %v", err)
			}
		})
	}
}
