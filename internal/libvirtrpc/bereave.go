package libvirtrpc

import (
	"context"
	"net"
	"sync"
)

// What a conversation does for a client whose daemon is gone.

// deaf takes whatever it is given. That the daemon takes no more is for the
// one who reads from it to find out, and why.
type deaf struct{ net.Conn }

func (d deaf) Write(b []byte) (int, error) {
	d.Conn.Write(b)
	return len(b), nil
}

// bereave has calls answered whose replies are lost.
func (c *Conversation) bereave(ctx context.Context) {
	c.mu.Lock()
	var lost []pending
	for key, p := range c.pending {
		if p.lost != nil {
			lost = append(lost, p)
			delete(c.pending, key)
		}
	}
	c.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range lost {
		all.Go(func() {
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
}

// Procedures of the keepalive program.
const (
	keepalivePing = 1
	keepalivePong = 2
)

// alone answers a packet of n bytes in place of a daemon that is gone.
func (c *Conversation) alone(in *input, h Head, n int) error {
	if err := in.skip(n); err != nil {
		return err
	}
	switch {
	case h.Program == ProgramKeepalive && h.Procedure == keepalivePing:
		h.Procedure = keepalivePong
		return c.toClient.packet(h, nil)
	case h.Type == TypeCall:
		return c.toClient.packet(h.reply(StatusError), Errorf(ErrRPC, "the connection with libvirt over there is lost").encode())
	}
	return nil
}
