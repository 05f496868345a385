package stream

import (
	"sync"

	"github.com/virt-sluice/sluice/stream/relay"
)

// What the sessions with one peer borrow together to move bytes, and what one
// session may of that, in bytes.
const (
	peerBuffers    = 64 << 20
	sessionBuffers = 32 << 20
)

// peers has an entry for each peer that there has been a session with, who are those
// of the configuration.
var peers struct {
	sync.Mutex
	buffers map[string]*relay.Buffers
}

// NewBuffers returns what a session with a peer may borrow.
func NewBuffers(peer string) *relay.Buffers {
	peers.Lock()
	defer peers.Unlock()
	if peers.buffers == nil {
		peers.buffers = make(map[string]*relay.Buffers)
	}
	if peers.buffers[peer] == nil {
		peers.buffers[peer] = relay.NewBuffers(nil, peerBuffers)
	}
	return relay.NewBuffers(peers.buffers[peer], sessionBuffers)
}
