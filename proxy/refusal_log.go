package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/virt-sluice/sluice/proxy/peer"
)

const (
	// refusalLines is how many refusals from one address are lines of their own; of those behind
	// there is one a minute, which counts the others.
	refusalLines = 5
	// refusalAddresses is how many addresses are told apart.
	refusalAddresses = 1024
	// refusalText is how long a refusal's words may be in the log, in bytes. What is refused may hold
	// what a stranger has written.
	refusalText = 1000
)

// refusalLog writes of the connections that are refused, and no more than anyone wants to read,
// however many come. Health checks of load balancers, which connect and say nothing, are for debug.
type refusalLog struct {
	log zerolog.Logger

	mu sync.Mutex
	by map[netip.Addr]*refusalCount
}

type refusalCount struct {
	lines  rate.Sometimes
	before uint64 // not logged since the last line
}

func (l *refusalLog) add(from net.Addr, err error) {
	event := l.log.Warn
	if peer.Silent(err) {
		event = l.log.Debug
	}
	c := l.of(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	c.before++
	c.lines.Do(func() {
		line := event().Stringer("address", from).Str("error", shortened(err.Error()))
		if c.before > 1 {
			line.Uint64("more", c.before-1)
		}
		line.Msg("connection refused")
		c.before = 0
	})
}

// of is the count of an address; beyond refusalAddresses all share one.
func (l *refusalLog) of(from net.Addr) *refusalCount {
	var addr netip.Addr
	if t, ok := from.(*net.TCPAddr); ok {
		addr = t.AddrPort().Addr().Unmap()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[netip.Addr]*refusalCount)
	}
	if l.by[addr] == nil && len(l.by) >= refusalAddresses {
		addr = netip.Addr{}
	}
	if l.by[addr] == nil {
		l.by[addr] = &refusalCount{lines: rate.Sometimes{First: refusalLines, Interval: time.Minute}}
	}
	return l.by[addr]
}

func shortened(s string) string {
	if len(s) <= refusalText {
		return s
	}
	return strings.ToValidUTF8(s[:refusalText], "") + fmt.Sprintf("… (%d bytes)", len(s))
}
