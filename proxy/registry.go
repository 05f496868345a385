package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// keptEnded is how many ended sessions status shows.
const keptEnded = 32

// registry is the sessions of this host: those that live, and the last ones
// that ended.
type registry struct {
	most     int // live at once, in and out
	mostFrom int // of those, that one peer has opened, or one kind of clients

	mu       sync.Mutex
	live     []*entry
	ended    []control.SessionStatus // newest first
	tally    tally                   // of all that ended
	draining chan struct{}           // closed once no session may begin any more
	empty    chan struct{}           // closed once draining and nothing lives
}

func newRegistry(most, mostFrom int) *registry {
	return &registry{most: most, mostFrom: mostFrom, tally: newTally(), draining: make(chan struct{}), empty: make(chan struct{})}
}

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

// add makes a place for a session, or says why there is none.
func (r *registry) add(info stream.Info, direction string) (*entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isDraining() {
		return nil, errDraining
	}
	if len(r.live) >= r.most {
		return nil, fmt.Errorf("this host has %d sessions, as many as it may (limits.sessions)", len(r.live))
	}
	from := 0
	for _, e := range r.live {
		if direction == control.Incoming && e.direction == control.Incoming && e.info.Peer == info.Peer && (e.info.Work == workClient) == (info.Work == workClient) {
			from++
		}
	}
	if from >= r.mostFrom {
		return nil, fmt.Errorf("%s has %d sessions here, as many as it may (limits.peer_sessions)", info.Peer, from)
	}
	if uuid, err := virt.ParseUUID(info.UUID); err == nil {
		info.UUID = virt.FormatUUID(uuid) // however its peer spells it
	}
	for _, e := range r.live {
		if info.UUID != "" && e.info.UUID == info.UUID {
			return nil, fmt.Errorf("guest %s is being migrated already: session %s with %s", e.info.Guest, e.info.ID, e.info.Peer)
		}
	}
	e := &entry{info: info, direction: direction, started: time.Now(), phase: control.PhaseConnect}
	r.live = append(r.live, e)
	return e, nil
}

// end moves an entry to the ended ones, once its channels have ended. code is
// the cause's.
func (r *registry) end(e *entry, outcome, code, cause string) {
	st, channels := e.status(), e.channels()
	st.Ended, st.Outcome, st.Cause, st.Rate = time.Now(), outcome, cause, 0
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = slices.DeleteFunc(r.live, func(o *entry) bool { return o == e })
	r.tally.end(e, outcome, code)
	r.tally.carry(channels)
	r.ended = slices.Insert(r.ended, 0, st)
	if len(r.ended) > keptEnded {
		r.ended = r.ended[:keptEnded]
	}
	r.checkEmpty()
}

// drain lets no session begin any more; the channel is closed when none lives.
func (r *registry) drain() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isDraining() {
		close(r.draining)
	}
	r.checkEmpty()
	return r.empty
}

var errDraining = errors.New("this host's sluice is being stopped and takes no new sessions")

func (r *registry) isDraining() bool {
	select {
	case <-r.draining:
		return true
	default:
		return false
	}
}

func (r *registry) checkEmpty() {
	if !r.isDraining() || len(r.live) > 0 {
		return
	}
	select {
	case <-r.empty:
	default:
		close(r.empty)
	}
}

// status lists the live and the ended sessions.
func (r *registry) status() (live, ended []control.SessionStatus, draining bool) {
	r.mu.Lock()
	entries := slices.Clone(r.live)
	ended, draining = slices.Clone(r.ended), r.isDraining()
	r.mu.Unlock()
	live = make([]control.SessionStatus, 0, len(entries))
	for _, e := range entries {
		live = append(live, e.status())
	}
	slices.SortFunc(live, func(a, b control.SessionStatus) int { return a.Started.Compare(b.Started) })
	return live, ended, draining
}

// totals are how many sessions live, and what these and the ended ones come to.
// All is of one moment: a session counts as live or as ended, and its bytes
// once, so that no total ever falls.
func (r *registry) totals() (map[line]int, tally) {
	r.mu.Lock()
	entries, t := slices.Clone(r.live), r.tally.clone()
	r.mu.Unlock()
	live := make(map[line]int)
	for _, l := range lines() {
		live[l] = 0
	}
	for _, e := range entries {
		live[e.line()]++
		t.carry(e.channels())
	}
	return live, t
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
	if e.info.Work == workMigration && e.memory == "" {
		st.Memory = bySluice
		if e.info.Clear {
			st.Memory = byNothing
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

// rateMeter turns a growing count, looked at now and then, into a rate.
type rateMeter struct {
	since time.Time
	count uint64
	rate  uint64 // of the last whole interval
}

// meterInterval is the shortest time over which a rate is taken.
const meterInterval = 500 * time.Millisecond

// at is the rate, per second, when the count is n at time now.
func (m *rateMeter) at(now time.Time, n uint64) uint64 {
	switch elapsed := now.Sub(m.since); {
	case m.since.IsZero():
		m.since, m.count = now, n
	case elapsed >= meterInterval:
		m.rate = uint64(float64(n-m.count) / elapsed.Seconds())
		m.since, m.count = now, n
	}
	return m.rate
}
