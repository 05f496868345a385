package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// errStalled: the peer did not take a frame in time.
var errStalled = errors.New("stalled")

// control is the connection that carries a session's frames.
type control struct {
	conn   relay.Conn
	memory *Memory // that the peer's long frames take while they are held; nil: any

	mu      sync.Mutex // held over a write
	broken  error      // the first error of a write, which may have sent half a frame
	readErr error      // why the reader ended; set before its channel is closed
}

// write sends one frame. An error that wraps errTooLong leaves the connection as it was.
func (c *control) write(f *frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writeLocked(f)
}

func (c *control) writeLocked(f *frame) error {
	b, err := encodeFrame(f, MaxControl)
	if err != nil {
		return err
	}
	if c.broken != nil {
		return c.broken
	}
	patience := writeTimeout + time.Duration(len(b)/leastRate)*time.Second
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(b); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w: a frame of %d bytes was not taken within %v", errStalled, len(b), patience)
		}
		c.broken = err
	}
	return c.broken
}

// read starts the goroutine that reads frames until the connection's end. Then the channel is
// closed, and readErr says why. Somebody has to receive from it until then: what is not read here
// holds up the peer's writes, and those our own.
func (c *control) read(idle time.Duration) <-chan *frame {
	frames := make(chan *frame)
	go func() {
		defer close(frames)
		r := &idleReader{conn: c.conn, idle: idle}
		for {
			f, err := readHeldFrame(r, MaxControl, c.memory)
			if err != nil {
				c.readErr = err
				return
			}
			frames <- f
		}
	}()
	return frames
}

// idleReader gives each read its deadline.
type idleReader struct {
	conn net.Conn
	idle time.Duration
}

func (r *idleReader) Read(p []byte) (int, error) {
	r.conn.SetReadDeadline(time.Now().Add(r.idle))
	return r.conn.Read(p)
}

// beat gives a sign of life every so often until ctx ends. It is no part of the session's state
// machine, which must never wait for a write while the peer waits for its reads.
func (c *control) beat(ctx context.Context, every time.Duration, failed func(error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := c.write(&frame{Kind: kindPing}); err != nil {
				failed(err)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
