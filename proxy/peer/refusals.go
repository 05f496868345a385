package peer

import (
	"errors"
	"maps"
	"sync"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// refusals count the connections that came in by the port and were refused by
// the end of their handshake, by tlsconf's word for why.
type refusals struct {
	mu sync.Mutex
	by map[tlsconf.Cause]uint64
}

func (r *refusals) Add(err error) {
	cause := refusalCause(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = make(map[tlsconf.Cause]uint64)
	}
	r.by[cause]++
}

// Counts has every cause.
func (r *refusals) Counts() map[tlsconf.Cause]uint64 {
	all := make(map[tlsconf.Cause]uint64)
	for _, cause := range tlsconf.Causes() {
		all[cause] = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(all, r.by)
	return all
}

// refusalCause is one of tlsconf's causes.
func refusalCause(err error) tlsconf.Cause {
	if errors.Is(err, errSilent) || errors.Is(err, errEvicted) || errors.Is(err, errTooFast) {
		return tlsconf.CauseClosed
	}
	var own *stream.Cause // of what is refused in words
	if errors.As(err, &own) {
		for _, cause := range tlsconf.Causes() {
			if own.Code == string(cause) {
				return cause
			}
		}
		return tlsconf.CauseOther
	}
	var he *tlsconf.HandshakeError
	if errors.As(tlsconf.Explain(err, ""), &he) {
		return he.Cause
	}
	return tlsconf.CauseOther
}
