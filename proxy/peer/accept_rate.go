package peer

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/virt-sluice/sluice/internal/sockets"
)

// How many connections a second are accepted from addresses that are no peer's: from one, from an
// IPv6 network, since whoever has one address mostly has all of its /64, and from all. What comes
// beyond is closed at once. A peer opens up to a channel for each of QEMU's connections, and its
// address has no such limit once it has been let in. A whole new fleet may be in one network.
const (
	acceptRateFrom, acceptBurstFrom = 20, 64
	acceptRateNear, acceptBurstNear = 100, 256
	acceptRate, acceptBurst         = 200, 512
	// rememberedRates is how many addresses and networks have a rate of their own at once.
	rememberedRates = 4096
)

var errTooFast = errors.New("connections come too fast from its address, or from all that are no peer's")

// acceptRates keep account of connections as they are accepted.
type acceptRates struct {
	mu   sync.Mutex
	all  *rate.Limiter
	from map[netip.Prefix]*rate.Limiter
}

// allow says whether one more from addr may stay.
func (r *acceptRates) allow(addr netip.Addr, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from == nil {
		r.all, r.from = rate.NewLimiter(acceptRate, acceptBurst), make(map[netip.Prefix]*rate.Limiter)
	}
	one := netip.PrefixFrom(addr, addr.BitLen())
	if l := r.from[one]; l != nil && l.TokensAt(now) < 1 {
		return false // others in its network do not pay for it
	}
	if source := sockets.Source(addr); source != addr && !r.of(netip.PrefixFrom(source, 64), acceptRateNear, acceptBurstNear, now).AllowN(now, 1) {
		return false
	}
	return r.of(one, acceptRateFrom, acceptBurstFrom, now).AllowN(now, 1) && r.all.AllowN(now, 1)
}

// of is the limiter of an address or a network.
func (r *acceptRates) of(who netip.Prefix, most rate.Limit, burst int, now time.Time) *rate.Limiter {
	l := r.from[who]
	if l == nil {
		if len(r.from) >= rememberedRates {
			r.forget(now)
		}
		l = rate.NewLimiter(most, burst)
		if len(r.from) < rememberedRates {
			r.from[who] = l
		}
	}
	return l
}

// forget drops those that are as free as new ones.
func (r *acceptRates) forget(now time.Time) {
	for who, l := range r.from {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(r.from, who)
		}
	}
}
