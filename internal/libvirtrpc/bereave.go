package libvirtrpc

import (
	"context"
	"net"
	"sync"
)

// What a conversation does for a client whose daemon is gone.

// deaf takes whatever it is given, and from when it is for the one who reads
// from it to find out that it takes no more, and why.
type deaf struct {
	net.Conn
	from func() bool
}

func (d deaf) Write(b []byte) (int, error) {
	n, err := d.Conn.Write(b)
	if err != nil && d.from() {
		return len(b), nil
	}
	return n, err
}

func always() bool { return true }

// bereave has calls answered whose replies are lost, and says whether there were
// any.
func (c *Conversation) bereave(ctx context.Context) bool {
	lost := c.underway.lose()
	var all sync.WaitGroup
	for _, p := range lost {
		all.Go(func() {
			defer c.underway.over(p)
			switch r := p.lost(ctx); {
			case r == nil:
			case r.Err != nil:
				c.toClient.packet(p.asked.reply(StatusError), r.Err.encode())
			default:
				c.toClient.packet(p.asked.reply(StatusOK), r.Body)
			}
		})
	}
	all.Wait()
	return len(lost) > 0
}

// Procedures of the keepalive program.
const (
	keepalivePing = 1
	keepalivePong = 2
)

// alone answers a packet of n bytes in place of a daemon that is gone, or is to
// hear no more.
func (c *Conversation) alone(in *input, h Head, n int, words *Error) error {
	if err := in.skip(n); err != nil {
		return err
	}
	switch {
	case h.Program == ProgramKeepalive && h.Procedure == keepalivePing:
		h.Procedure = keepalivePong
		return c.toClient.packet(h, nil)
	case h.Type == TypeCall:
		return c.toClient.packet(h.reply(StatusError), words.encode())
	}
	return nil
}
