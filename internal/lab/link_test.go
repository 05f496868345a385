package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testLink sends bytes from A to B over a link that is whole, cut, restored and slow.
func testLink(t *testing.T, l *Lab) {
	serve(t, l.B, "tcp", ":7", func(c net.Conn) { io.Copy(c, c) })
	for _, address := range []string{HostB + ":7", net.JoinHostPort(l.B.Addr6, "7")} {
		if err := echo(t, l.A, address, 1<<20, 10*time.Second); err != nil {
			t.Errorf("whole link, %s: %v", address, err)
		}
	}

	if err := l.CutLink(); err != nil {
		t.Fatal(err)
	}
	if err := echo(t, l.A, HostB+":7", 1, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cut link: %v, want no answer", err)
	}
	if err := l.RestoreLink(); err != nil {
		t.Fatal(err)
	}
	if err := echo(t, l.A, HostB+":7", 1<<20, 10*time.Second); err != nil {
		t.Errorf("restored link: %v", err)
	}

	const rate, size = 4 << 20, 2 << 20
	if err := l.SlowLink(rate); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := echo(t, l.A, HostB+":7", size, 10*time.Second); err != nil {
		t.Errorf("slow link: %v", err)
	}
	// The bucket lets the first 256 KiB through at once.
	if took := time.Since(start); took < 350*time.Millisecond {
		t.Errorf("%d bytes took %v at %d bytes per second", size, took, rate)
	}
	if err := l.SlowLink(0); err != nil {
		t.Fatal(err)
	}

	c, err := l.A.Dial(deadline(t, 10*time.Second), "tcp", HostB+":7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := l.ResetConnections(deadline(t, 10*time.Second), 7); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNABORTED) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("after ResetConnections: %v", err)
	}
}

// echo sends size bytes to an echo service and reads them back.
func echo(t *testing.T, h *Host, address string, size int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, size))
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	n, err := io.Copy(io.Discard, c)
	if err == nil && n != int64(size) {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, <-sent)
}
