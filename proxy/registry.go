package proxy

import (
	"errors"
	"fmt"
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
	counters counters                // of all that ended
	draining chan struct{}           // closed once no session may begin any more
	empty    chan struct{}           // closed once draining and nothing lives
}

func newRegistry(most, mostFrom int) *registry {
	return &registry{most: most, mostFrom: mostFrom, counters: newCounters(), draining: make(chan struct{}), empty: make(chan struct{})}
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
		if direction == control.Incoming && e.direction == control.Incoming && e.info.Peer == info.Peer && (e.info.Work == WorkClient) == (info.Work == WorkClient) {
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
	r.counters.end(e, outcome, code)
	r.counters.carry(channels)
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
func (r *registry) totals() (map[class]int, counters) {
	r.mu.Lock()
	entries, t := slices.Clone(r.live), r.counters.clone()
	r.mu.Unlock()
	live := make(map[class]int)
	for _, l := range classes() {
		live[l] = 0
	}
	for _, e := range entries {
		live[e.class()]++
		t.carry(e.channels())
	}
	return live, t
}
