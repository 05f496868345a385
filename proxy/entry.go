package proxy

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/stream"
)

// entry is one session's place in the registry, from before it is opened until
// it has been ended.
type entry struct {
	info      stream.Info
	direction string
	started   time.Time

	mu      sync.Mutex
	carried func() []channelView // nil until it is open
	phase   string
	rate    rateMeter
	memory  string // what protects it on the wire; empty: as the session says
	disks   string

	intended netip.AddrPort // of an intercepted connection
}

// channels are the session's so far, live and ended.
func (e *entry) channels() []channelView {
	e.mu.Lock()
	carried := e.carried
	e.mu.Unlock()
	if carried == nil {
		return nil
	}
	return carried()
}

// open says whose the session's channels are.
func (e *entry) open(carried func() []channelView) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.carried = carried
}

// opened is open for a session.
func (e *entry) opened(s *stream.Session) {
	e.open(func() []channelView { return viewsOf(s) })
}

func (e *entry) setPhase(phase string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.phase = phase
}

// protect says what keeps memory and disks secret, where it is not the session
// itself. Empty: there are none.
func (e *entry) protect(memory, disks string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.memory, e.disks = memory, disks
}

// intendedFor says where an intercepted connection was meant to go, or has come
// to.
func (e *entry) intendedFor(a netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.intended = a
}

// status is the entry as `sluice status` shows it.
func (e *entry) status() control.SessionStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := control.SessionStatus{
		ID:        e.info.ID,
		Kind:      e.info.Work,
		Direction: e.direction,
		Guest:     e.info.Guest,
		UUID:      e.info.UUID,
		Peer:      e.info.Peer,
		Address:   e.info.Address,
		Phase:     e.phase,
		Started:   e.started,
		Channels:  []control.ChannelStatus{},
		Memory:    e.memory,
		Disks:     e.disks,
	}
	if e.intended.IsValid() {
		st.Intended = e.intended.String()
	}
	if e.info.Work == WorkMigration && e.memory == "" {
		st.Memory = BySluice
		if e.info.Clear {
			st.Memory = ByNothing
		}
	}
	if e.carried == nil {
		return st
	}
	for _, c := range e.carried() {
		version, suite := c.TLS()
		ch := control.ChannelStatus{
			Name:     c.Name(),
			Kind:     c.kind,
			Path:     c.Path(),
			TLS:      version,
			Suite:    suite,
			Sent:     uint64(c.Sent()),
			Received: uint64(c.Received()),
			Open:     c.Open(),
		}
		st.Channels = append(st.Channels, ch)
		if c.kind == stream.ChannelDisk {
			st.Disks = st.Memory
		}
		st.Sent += ch.Sent
		st.Received += ch.Received
		st.Path = cmp.Or(st.Path, ch.Path)
		st.TLS = cmp.Or(st.TLS, ch.TLS)
		st.Suite = cmp.Or(st.Suite, ch.Suite)
	}
	st.Rate = e.rate.at(time.Now(), st.Sent+st.Received)
	return st
}

func (e *entry) class() class {
	l := class{e.direction, e.info.Work}
	if !slices.Contains(classes(), l) {
		l.work = otherWord
	}
	return l
}
