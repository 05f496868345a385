package libvirtrpc

import "time"

// linger ends the reading of a daemon's connection, to be gone on with by
// untilReplied, and says whether there is anything to go on for.
func (c *Conversation) linger() bool {
	if c.places == nil || c.Background == nil || c.inflight.serverGone() || !c.places.any() {
		return c.lingers.Load()
	}
	c.lingers.Store(true)
	c.Server.SetReadDeadline(time.Now())
	return true
}

// untilReplied leaves a daemon's connection open until the daemon has replied to the calls of a
// client that is gone. Closed, it would not end their work, but nobody could tell when that ends;
// and whoever has as many calls in flight as he may could have as many again by connecting anew.
func (c *Conversation) untilReplied() {
	defer c.places.leaveAll()
	defer c.Server.Close()
	in := c.server.in
	if in.cut { // where the next packet begins is not known any more
		return
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-c.Draining:
			c.Server.Close()
		case <-done:
		}
	}()
	c.Server.SetReadDeadline(time.Time{})
	in.err = nil
	for c.places.any() {
		h, n, err := in.head()
		if err == nil {
			err = in.skip(n)
		}
		if err != nil {
			return
		}
		switch {
		case h.Type == TypeReply:
			c.places.leave(h.Serial)
		case h.Program == ProgramKeepalive && h.Procedure == keepalivePing:
			c.server.out.packet(keepalivePacket(keepalivePong), nil)
		}
	}
}
