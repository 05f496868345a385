package stream

import (
	"net"

	"github.com/virt-sluice/sluice/stream/relay"
)

// Conn is one end of a channel whose owner reads and writes the peer's stream itself, within the
// session's limits. Its failure is the session's; the end of the session is its failure. The owner
// closes it in any case, and has the channel ended by that.
type Conn struct {
	*relay.Metered
	Channel *Channel
}

// A Taker is the local end of a channel that no bytes are relayed with: it takes the channel over,
// and returns at once. Its own Close is for when nothing came of the channel.
type Taker interface {
	net.Conn
	Take(*Conn)
}

// own gives the channel c to an owner.
func (s *Session) own(c *Channel, remote relay.Conn) *Conn {
	c.begin(remote)
	return &Conn{Channel: c, Metered: relay.Meter(s.ctx, remote, relay.MeteredOptions{
		Limits:   s.relayLimits(),
		Counters: &c.counters,
		Ended:    func(err error) { s.finish(c, err) },
	})}
}
