package libvirtrpc

import "time"

// rest ends a conversation that is draining, once nothing is under way: the
// daemon sees its end, and the client then the daemon's.
func (c *Conversation) rest() {
	if c.inflight.rest(c.Rules.Busy) {
		c.left.Store(true)
		c.Server.CloseWrite()
	}
}

// breakOff ends a conversation for err: calls in flight are answered in words,
// but for those whose answer is awaited.
func (c *Conversation) breakOff(err error) {
	words := Errorf(ErrRPC, "sluice: %v", err)
	if c.Explain != nil {
		words = c.Explain(err)
	}
	c.Client.SetWriteDeadline(time.Now().Add(graceForClient))
	for _, p := range c.inflight.close(words) {
		c.client.out.packet(p.asked.reply(StatusError), words.encode())
	}
	c.Client.SetWriteDeadline(time.Time{})
	c.inflight.wait()
}
