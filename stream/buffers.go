package stream

import (
	"runtime"
	"sync"
	"weak"

	"github.com/virt-sluice/sluice/stream/relay"
)

// What the sessions with one peer borrow together to move bytes, and what one
// session may of that, in bytes.
const (
	peerBuffers    = 64 << 20
	sessionBuffers = 32 << 20
)

// peers has an entry for each peer that there is a session with: their number has no bound, as a
// pattern may stand for any.
var peers struct {
	sync.Mutex
	buffers map[string]weak.Pointer[relay.Buffers]
}

// NewBuffers returns what a session with a peer may borrow.
func NewBuffers(peer string) *relay.Buffers {
	peers.Lock()
	defer peers.Unlock()
	if peers.buffers == nil {
		peers.buffers = make(map[string]weak.Pointer[relay.Buffers])
	}
	all := peers.buffers[peer].Value()
	if all == nil {
		all = relay.NewBuffers(nil, peerBuffers)
		peers.buffers[peer] = weak.Make(all)
		runtime.AddCleanup(all, forgetBuffers, peer)
	}
	return relay.NewBuffers(all, sessionBuffers)
}

func forgetBuffers(peer string) {
	peers.Lock()
	defer peers.Unlock()
	if peers.buffers[peer].Value() == nil { // else there are others by now
		delete(peers.buffers, peer)
	}
}
