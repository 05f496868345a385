package peer

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// knownAddresses are those at which peers have shown their certificates, here or there, of late.
// They, and those that the configuration gives as addresses, never wait behind strangers.
type knownAddresses struct {
	mu   sync.Mutex
	seen map[netip.Addr]time.Time
}

const (
	// knownFor is how long an address stays known without its peer.
	knownFor = 24 * time.Hour
	// maxKnown bounds them.
	maxKnown = 16384
)

// configured are the addresses that the configuration gives as such, HOST:PORT.
func configured(peers map[string]*Peer) map[netip.Addr]bool {
	all := make(map[netip.Addr]bool)
	for _, p := range peers {
		if at, err := netip.ParseAddrPort(p.Conf.Address); err == nil {
			all[at.Addr().Unmap().WithZone("")] = true
		}
	}
	return all
}

func (k *knownAddresses) add(a net.Addr) {
	addr, ok := addrOf(a)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil {
		k.seen = make(map[netip.Addr]time.Time)
	}
	if _, is := k.seen[addr]; !is && len(k.seen) >= maxKnown {
		for old, at := range k.seen {
			if time.Since(at) > knownFor {
				delete(k.seen, old)
			}
		}
		if len(k.seen) >= maxKnown {
			return
		}
	}
	k.seen[addr] = time.Now()
}

func (k *knownAddresses) has(addr netip.Addr) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, is := k.seen[addr]
	return is && time.Since(at) <= knownFor
}

// addrOf is the IP address of a's, without a zone's name, IPv4 as such.
func addrOf(a net.Addr) (netip.Addr, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return t.AddrPort().Addr().Unmap().WithZone(""), true
}
