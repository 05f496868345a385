package peer

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many connections a second are accepted from addresses that are no peer's: from one, and from
// all. What comes beyond is closed at once. A peer opens up to a channel for each of QEMU's
// connections, and its address has no such limit once it has been let in.
const (
	acceptRateFrom, acceptBurstFrom = 20, 64
	acceptRate, acceptBurst         = 200, 512
	// rememberedRates is how many addresses have a rate of their own at once.
	rememberedRates = 4096
)

var errTooFast = errors.New("connections come too fast from its address, or from all that are no peer's")

// acceptRates keep account of connections as they are accepted.
type acceptRates struct {
	mu   sync.Mutex
	all  *rate.Limiter
	from map[netip.Addr]*rate.Limiter
}

// allow says whether one more from addr may stay.
func (r *acceptRates) allow(addr netip.Addr, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from == nil {
		r.all, r.from = rate.NewLimiter(acceptRate, acceptBurst), make(map[netip.Addr]*rate.Limiter)
	}
	l := r.from[addr]
	if l == nil {
		if len(r.from) >= rememberedRates {
			r.forget(now)
		}
		l = rate.NewLimiter(acceptRateFrom, acceptBurstFrom)
		if len(r.from) < rememberedRates {
			r.from[addr] = l
		}
	}
	return l.AllowN(now, 1) && r.all.AllowN(now, 1)
}

// forget drops the addresses that are as free as new ones.
func (r *acceptRates) forget(now time.Time) {
	for a, l := range r.from {
		if l.TokensAt(now) >= acceptBurstFrom {
			delete(r.from, a)
		}
	}
}
