package relay

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// It does what the one below does, deadlines and closing included.
func TestRawSyscalls(t *testing.T) {
	for name, pair := range map[string]socketPair{"unix": unixPair, "tcp": tcpPair, "wrapped": wrappedPair} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			c := RawSyscalls(a.(Socket))
			const n = 1_000_000
			go func() {
				writeAll(t, c, noise(n))
				closeWriteOf(t, c)
			}()
			expectEnd(t, b, noise(n))
			writeAll(t, b, noise(n/10))
			expect(t, c, noise(n/10))
			if n, err := c.Read(nil); n != 0 || err != nil {
				t.Errorf("read %d, %v into nothing", n, err)
			}

			c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !isErr(err, os.ErrDeadlineExceeded) {
				t.Errorf("past its deadline: %v", err)
			}
			c.SetReadDeadline(time.Time{})
			read := make(chan error)
			go func() {
				_, err := c.Read(make([]byte, 1))
				read <- err
			}()
			c.Close()
			if err := <-read; !isErr(err, net.ErrClosed) && err != io.EOF {
				t.Errorf("closed: %v", err)
			}
		})
	}
}
