package libvirtrpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// lenient takes whatever it is given, and from when it is for the one who reads
// from it to find out that it takes no more, and why.
type lenient struct {
	net.Conn
	from func() bool
}

func (l lenient) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	if err != nil && l.from() {
		return len(b), nil
	}
	return n, err
}

func always() bool { return true }

var errServerClosed = errors.New("libvirt over there has closed the connection")

// serverLost has the calls answered whose replies are lost, and says how long the client may have to
// act on that: 0 if there were none. err is what the daemon's end broke for; nil: it was closed.
func (c *Conversation) serverLost(ctx context.Context, err error) (grace time.Duration) {
	if err == nil {
		err = errServerClosed
	}
	lost := c.inflight.lose()
	words := Errorf(ErrRPC, "sluice: %v", err)
	if c.Explain != nil && c.inflight.undecided() {
		words = c.Explain(err)
	}
	others := c.inflight.close(words)
	for _, p := range others {
		c.client.out.packet(p.asked.reply(StatusError), words.encode())
	}
	var all sync.WaitGroup
	var longest sync.Mutex
	for _, p := range lost {
		all.Go(func() {
			defer c.inflight.over(p, false)
			switch r := p.lost(ctx); {
			case r == nil:
			case r.Err != nil:
				longest.Lock()
				grace = max(grace, r.Grace)
				longest.Unlock()
				c.client.out.packet(p.asked.reply(StatusError), r.Err.encode())
			default:
				c.answer(p, p.asked.reply(StatusOK), r.Body)
			}
		})
	}
	all.Wait()
	if len(lost)+len(others) > 0 {
		grace = max(grace, graceForClient)
	}
	return grace
}
