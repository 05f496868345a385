package browser

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/virt-sluice/sluice/proxy/host"
)

// How many connections there are at once.
const (
	maxConns     = 96 // in all
	connsOfOne   = 32 // of one user or certificate
	connsOfOther = 8  // of all who may not look
)

// refused is the message about who is refused.
const refused = "browser refused"

// Conn is a browser's connection.
type Conn struct {
	net.Conn
	Who string // such as "uid 1000", or the names in a certificate

	denied func() error
	leave  func()
	once   sync.Once
}

// Denied says why the browser may not look, as the configuration now is, or nil.
func (c *Conn) Denied() error { return c.denied() }

// Close closes the connection and gives its place to others.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}

// places count connections.
type places struct {
	mu   sync.Mutex
	all  int
	open map[string]int // by who
}

// take finds a place for a connection, or says that there is none.
func (p *places) take(c *Conn) error {
	who, most := c.Who, connsOfOne
	if c.Denied() != nil {
		who, most = "", connsOfOther
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[string]int)
	}
	switch {
	case p.all >= maxConns:
		return fmt.Errorf("browsers have %d connections, as many as there may be", p.all)
	case p.open[who] >= most:
		return fmt.Errorf("%s has %d connections, as many as one may have", c.Who, p.open[who])
	}
	p.all++
	p.open[who]++
	c.leave = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.open[who]--; p.open[who] == 0 {
			delete(p.open, who)
		}
	}
	return nil
}

// tell logs a refusal, unless the browser has only gone.
func tell(h *host.Host, who string, err error) {
	if !errors.Is(err, net.ErrClosed) {
		h.Refused(h.Log, refused, who, err)
	}
}
