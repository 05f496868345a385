package stream

import (
	"context"
	"slices"
)

// Terms are what connections are served by. They are not changed: others take their place for the
// connections that come after.
type Terms struct {
	Limits Limits
	Share  Share // of each peer

	// Accept decides on a session and gives it its Handler; an error refuses it, in its words.
	// started is called, before the session's first call, with the session that came of it.
	Accept func(ctx context.Context, info Info) (h Handler, started func(*Session), err error)
	// Ask answers a peer's question that belongs to no session. body is msgpack.
	Ask func(ctx context.Context, peer, name string, body []byte) (any, error)
}

// Who is whom a connection has been authenticated as.
type Who struct {
	Peer string // the configured name; empty: nobody who may begin anything
	// Former are names that it went by when sessions began that may still be under way. It may join
	// those, and ask what became of them.
	Former []string
	// Denied is why it may begin nothing, where it has none but former names.
	Denied error
}

// is says whether sessions of a peer are its own.
func (w Who) is(peer string) bool {
	return w.Peer != "" && w.Peer == peer || slices.Contains(w.Former, peer)
}

// name is for messages and shares; empty for a connection in clear.
func (w Who) name() string {
	if w.Peer == "" && len(w.Former) > 0 {
		return w.Former[0]
	}
	return w.Peer
}
