package peer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Most handshakes at once. One costs this host some milliseconds of CPU, and the other end decides
// how long it lasts.
const (
	MaxHandshakes     = 64
	maxHandshakesFrom = 8  // from one address that is no peer's, or its network (sockets.Source)
	maxHandshakesOdd  = 48 // of all that come from no peer's address: the rest is the peers' own
)

// handshakeShare is how long a handshake may last while others wait for its place.
const handshakeShare = time.Second

// handshakePlaces are the places of those in their handshake. Of those that wait, peers' addresses
// are served first, and of each kind the newest: who came before it has had its chance. Where
// somebody has waited for long, the oldest handshake goes that has had its share, of the same
// address or of a stranger.
type handshakePlaces struct {
	mu    sync.Mutex
	odd   int // from no peer's address
	from  map[netip.Addr]int
	held  []*handshakePlace // oldest first
	queue []*handshakePlace // waiting, newest first
}

type handshakePlace struct {
	addr  netip.Addr
	known bool
	given chan struct{} // closed once it has its place
	since time.Time     // that it has it
	evict context.CancelCauseFunc
}

// take waits for a place until waiting ends. The context that it returns, within ctx, ends when the
// place is to be left, which done does.
func (h *handshakePlaces) take(ctx, waiting context.Context, addr netip.Addr, known bool) (_ context.Context, done func(), err error) {
	ctx, evict := context.WithCancelCause(ctx)
	p := &handshakePlace{addr: addr, known: known, given: make(chan struct{}), evict: evict}
	h.mu.Lock()
	h.queue = slices.Insert(h.queue, 0, p)
	h.give()
	h.mu.Unlock()
	again := time.NewTicker(handshakeShare)
	defer again.Stop()
	for {
		select {
		case <-p.given:
			return ctx, func() { h.leave(p) }, nil
		case <-again.C:
			h.makeRoom(p)
			continue
		case <-waiting.Done():
		}
		evict(nil)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.queue = slices.DeleteFunc(h.queue, func(o *handshakePlace) bool { return o == p })
		h.release(p) // it may have been given at the same moment
		return nil, nil, context.Cause(waiting)
	}
}

func (h *handshakePlaces) leave(p *handshakePlace) {
	p.evict(nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release(p)
}

// makeRoom ends the oldest handshake that stands in p's way and has had its share.
func (h *handshakePlaces) makeRoom(p *handshakePlace) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.held {
		if (o.addr == p.addr || !o.known) && time.Since(o.since) >= handshakeShare {
			o.evict(errEvicted)
			return
		}
	}
}

// release takes p's place back, if it has one.
func (h *handshakePlaces) release(p *handshakePlace) {
	at := slices.Index(h.held, p)
	if at < 0 {
		return
	}
	h.held = slices.Delete(h.held, at, at+1)
	if !p.known {
		h.odd--
	}
	if h.from[p.addr]--; h.from[p.addr] == 0 {
		delete(h.from, p.addr)
	}
	h.give()
}

// give hands out the places that are free.
func (h *handshakePlaces) give() {
	for _, known := range []bool{true, false} {
		h.queue = slices.DeleteFunc(h.queue, func(p *handshakePlace) bool {
			if p.known != known || len(h.held) >= MaxHandshakes || !known && (h.odd >= maxHandshakesOdd || h.from[p.addr] >= maxHandshakesFrom) {
				return false
			}
			p.since = time.Now()
			h.held = append(h.held, p)
			if !known {
				h.odd++
			}
			if h.from == nil {
				h.from = make(map[netip.Addr]int)
			}
			h.from[p.addr]++
			close(p.given)
			return true
		})
	}
}
