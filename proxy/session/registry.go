package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// KeptEnded is how many ended sessions status shows.
const KeptEnded = 32

// Registry is the sessions of this host: those that live, and the last ones that ended.
type Registry struct {
	InClear ClearCounts // migrations begun in clear with hosts without a sluice

	Keeper control.Keeper // of records. It is set before any session begins, as OnEnd is.
	// OnEnd, if not nil, is told of each session that has ended, and does not wait.
	OnEnd func(*control.SessionRecord)

	mu       sync.Mutex
	most     int // live at once, in and out
	mostFrom int // of those, that one peer has opened or asked for, or one kind of clients
	live     []*Entry
	ended    []*control.SessionRecord // newest first
	counters counters                 // of all that ended
	draining chan struct{}            // closed once no session may begin any more
	empty    chan struct{}            // closed once draining and nothing lives
}

// NewRegistry makes a registry for as many sessions at once, in all and of one peer.
func NewRegistry(most, mostFrom int) *Registry {
	return &Registry{most: most, mostFrom: mostFrom, counters: newCounters(), draining: make(chan struct{}), empty: make(chan struct{})}
}

// SetLimits changes how many sessions there may be. Those that live are not touched.
func (r *Registry) SetLimits(most, mostFrom int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most, r.mostFrom = most, mostFrom
}

// Add makes a place for a session, or says why there is none.
func (r *Registry) Add(info stream.Info, direction string) (*Entry, error) {
	return r.add(info, direction, false)
}

// AddLed is Add for a session that this host opens because its peer has asked for it. It counts as
// the peer's, and does not keep other migrations of its guest away: anyone who knows a guest's UUID
// may ask.
func (r *Registry) AddLed(info stream.Info) (*Entry, error) {
	return r.add(info, control.Outgoing, true)
}

func (r *Registry) add(info stream.Info, direction string, led bool) (*Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &Entry{Info: info, direction: direction, led: led, started: time.Now(), over: make(chan struct{})}
	e.setPhase(control.PhaseConnect)
	if err := r.room(e); err != nil {
		return nil, err
	}
	e.rate.tick(e.started, 0)
	r.live = append(r.live, e)
	return e, nil
}

// Room says why Add would make no place for a session, or nil.
func (r *Registry) Room(info stream.Info, direction string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.room(&Entry{Info: info, direction: direction})
}

// Left is how many migrations with a peer Add would make a place for, as far as their number goes.
func (r *Registry) Left(peer, direction string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Draining() {
		return 0
	}
	left := r.most - len(r.live)
	if e := (&Entry{Info: stream.Info{Peer: peer, Work: WorkMigration}, direction: direction}); e.byPeer() {
		left = min(left, r.mostFrom-r.from(e))
	}
	return max(left, 0)
}

// from is how many sessions live that count as those of the entry's peer do.
func (r *Registry) from(e *Entry) (n int) {
	for _, o := range r.live {
		if e.byPeer() && o.byPeer() && o.Info.Peer == e.Info.Peer && (o.Info.Work == WorkClient) == (e.Info.Work == WorkClient) {
			n++
		}
	}
	return n
}

func (r *Registry) room(e *Entry) error {
	if r.Draining() {
		return ErrDraining
	}
	if len(r.live) >= r.most {
		return fmt.Errorf("session limit of this host reached (%d, limits.sessions)", len(r.live))
	}
	if from := r.from(e); from >= r.mostFrom {
		return fmt.Errorf("session limit of %s reached (%d, limits.peer_sessions)", e.Info.Peer, from)
	}
	if uuid, err := virt.ParseUUID(e.Info.UUID); err == nil {
		e.Info.UUID = virt.FormatUUID(uuid) // however its peer spells it
	}
	for _, o := range r.live {
		// Of guests that come, the one that libvirt is asked to prepare counts, not who names it
		// first.
		if e.direction == control.Outgoing && !o.byPeer() && e.Info.UUID != "" && o.Info.UUID == e.Info.UUID {
			return fmt.Errorf("guest %s is already being migrated: session %s with %s", o.Info.Guest, o.Info.ID, o.Info.Peer)
		}
	}
	return nil
}

// End moves an entry to the ended ones, once its channels have ended. code is the cause's.
func (r *Registry) End(e *Entry, outcome, code, cause string) {
	if code == stream.CodeTimeout || code == stream.CodeLimit {
		e.Limited("%s", cause)
	}
	e.sampleNow()
	st, channels := e.Status(), e.channels()
	st.Ended, st.Outcome, st.Cause, st.Rate, st.Progress = time.Now(), outcome, cause, 0, nil
	if outcome != "" && outcome != control.Moved {
		st.Code = code
	}
	record := e.record(st, r.Keeper)
	r.end(e, st, record, channels, outcome, code)
	if r.OnEnd != nil {
		r.OnEnd(record)
	}
}

func (r *Registry) end(e *Entry, st control.SessionStatus, record *control.SessionRecord, channels []Channel, outcome, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.ended = st
	close(e.over)
	r.live = slices.DeleteFunc(r.live, func(o *Entry) bool { return o == e })
	r.counters.end(e, outcome, code)
	r.counters.carry(channels)
	r.ended = slices.Insert(r.ended, 0, record)
	if len(r.ended) > KeptEnded {
		r.ended = r.ended[:KeptEnded]
	}
	r.checkEmpty()
}

// IDs are those of the sessions that live.
func (r *Registry) IDs() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.live {
		all = append(all, e.Info.ID)
	}
	return all
}

// Run lets the rates of what is live go on, until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	again := time.NewTicker(tickInterval)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		entries := slices.Clone(r.live)
		r.mu.Unlock()
		for _, e := range entries {
			e.tick()
		}
	}
}

// Drain lets no session begin any more; the channel is closed when none lives.
func (r *Registry) Drain() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.Draining() {
		close(r.draining)
	}
	r.checkEmpty()
	return r.empty
}

// DrainBegan is closed once no session may begin any more.
func (r *Registry) DrainBegan() <-chan struct{} { return r.draining }

var ErrDraining = errors.New("this host's sluice is stopping and accepts no new sessions")

func (r *Registry) Draining() bool {
	select {
	case <-r.draining:
		return true
	default:
		return false
	}
}

func (r *Registry) checkEmpty() {
	if !r.Draining() || len(r.live) > 0 {
		return
	}
	select {
	case <-r.empty:
	default:
		close(r.empty)
	}
}

// Restore adds sessions that ended before this process began, or in another of this host's sluice:
// those that are known already are passed over.
func (r *Registry) Restore(records []control.SessionRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range records {
		if !slices.ContainsFunc(r.ended, func(b *control.SessionRecord) bool { return a.ID == b.ID && a.Direction == b.Direction }) {
			r.ended = append(r.ended, &a)
		}
	}
	slices.SortStableFunc(r.ended, func(a, b *control.SessionRecord) int { return b.Ended.Compare(a.Ended) })
	r.ended = r.ended[:min(len(r.ended), KeptEnded)]
}

// Settle says what became of the guest of a session that ended without anybody knowing.
func (r *Registry) Settle(id, outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.ended {
		if e.ID == id && e.Outcome == control.Unknown {
			settled := *e // others may be looking at it
			settled.Outcome = outcome
			r.ended[i] = &settled
		}
	}
}

// Ended are the last sessions that ended, the newest first. They are not changed.
func (r *Registry) Ended() []*control.SessionRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ended)
}

// Live are the sessions under way, as they are now.
func (r *Registry) Live() (all []*control.SessionRecord) {
	r.mu.Lock()
	entries := slices.Clone(r.live)
	r.mu.Unlock()
	for _, e := range entries {
		all = append(all, e.record(e.Status(), r.Keeper))
	}
	return all
}

// Status lists the live and the ended sessions.
func (r *Registry) Status() (live, ended []control.SessionStatus, draining bool) {
	r.mu.Lock()
	entries := slices.Clone(r.live)
	draining = r.Draining()
	ended = make([]control.SessionStatus, 0, len(r.ended))
	for _, e := range r.ended {
		ended = append(ended, e.SessionStatus)
	}
	r.mu.Unlock()
	live = make([]control.SessionStatus, 0, len(entries))
	for _, e := range entries {
		live = append(live, e.Status())
	}
	slices.SortFunc(live, func(a, b control.SessionStatus) int { return a.Started.Compare(b.Started) })
	return live, ended, draining
}

// Totals are how many sessions live, and what these and the ended ones come to. All is of one
// moment: a session counts as live or as ended, and its bytes once, so that no total ever falls.
func (r *Registry) Totals() (map[class]int, counters) {
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
