package stream

import (
	"slices"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// Limits bound one session. Zero means the default where one is named, otherwise no limit; negative
// means no limit, except for Handshake and Idle, which always have one.
type Limits struct {
	Channels  int           // besides the control channel, ended ones included; default 320
	Handshake time.Duration // opening one channel, from dial to accept; default 10s
	Idle      time.Duration // silence of the peer on the control channel; default 30s
	Length    time.Duration // of the session
	Bytes     int64         // carried, both ways, all channels
	Bandwidth int64         // bytes per second each way, all channels

	// Shared, each way, by all sessions that are given the same limiters. Nil: no limit.
	TotalSend, TotalReceive *relay.Limiter
}

// withDefaults is l with every default in place.
func (l Limits) withDefaults() Limits {
	if l.Channels == 0 {
		l.Channels = 320
	}
	if l.Handshake <= 0 {
		l.Handshake = 10 * time.Second
	}
	if l.Idle <= 0 {
		l.Idle = 30 * time.Second
	}
	return l
}

// answer is how long the acceptor takes at most to accept or refuse, so that the
// opener hears why before it gives up by itself.
func (l Limits) answer() time.Duration { return l.Handshake * 3 / 4 }

// Limiters are those that are not nil.
func Limiters(of ...*relay.Limiter) []*relay.Limiter {
	return slices.DeleteFunc(of, func(l *relay.Limiter) bool { return l == nil })
}

// Deadlines that no one needs to set.
const (
	graceForCause   = time.Second      // for the peer's own word on a connection that broke
	graceForVerdict = 2 * time.Second  // for the opener's verdict on a failure that it was told
	graceForDrain   = 5 * time.Second  // for channels to end by themselves once the work is done
	graceForCleanup = 30 * time.Second // for the acceptor to have let go of everything
	writeTimeout    = 5 * time.Second  // of one control frame, and more for a long one:
	leastRate       = 256 << 10        // bytes per second that the control channel has at least
)
