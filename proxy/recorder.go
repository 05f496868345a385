package proxy

import (
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/history"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
)

const (
	// recordInterval is how often sessions under way are written: the most that is not known of one
	// whose daemon is killed.
	recordInterval = time.Second
	// idleInterval is how often history is written while nothing happens, so that what is too old
	// goes.
	idleInterval = time.Hour
	// againInterval is between attempts at a disk that takes nothing.
	againInterval = 10 * time.Second
	// leastInterval keeps many that end at once from being written one by one.
	leastInterval = 100 * time.Millisecond
	// maxUnwritten is how many sessions wait for a disk that takes none.
	maxUnwritten = 512
)

// recorder writes what ends, and what is under way, to the store. A write that fails is told once,
// and what it had is written with the next.
type recorder struct {
	store    *history.Store // nil: nothing is kept
	process  string
	sessions *session.Registry
	bounds   func() history.Bounds
	log      zerolog.Logger

	wake chan struct{} // has an element when there is something new to write
	stop chan struct{}
	done chan struct{} // closed when run has ended; nil before start

	mu      sync.Mutex
	ended   []*control.SessionRecord
	settled []history.Settled
	problem string
}

// add has a session that ended written.
func (r *recorder) add(s *control.SessionRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		return
	}
	if r.ended = append(r.ended, s); len(r.ended) > maxUnwritten {
		r.ended = r.ended[1:]
	}
	r.rouse()
}

// settle has it written what became of a session's guest.
func (r *recorder) settle(s history.Settled) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		return
	}
	if r.settled = append(r.settled, s); len(r.settled) > maxUnwritten {
		r.settled = r.settled[1:]
	}
	r.rouse()
}

func (r *recorder) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// begin writes once, to find out whether it can, and then whenever there is something, until close.
func (r *recorder) begin() {
	if r.store == nil {
		return
	}
	r.done = make(chan struct{})
	go r.run(r.write(nil))
}

// close writes what there is, and ends.
func (r *recorder) close() {
	if r.done == nil {
		return
	}
	close(r.stop)
	<-r.done
}

// run writes again and again. written says whether it could at first.
func (r *recorder) run(written bool) {
	defer close(r.done)
	tick := time.NewTicker(recordInterval)
	defer tick.Stop()
	last, stale := time.Now(), false // stale: the file has sessions that live no more
	for {
		stopping := false
		select {
		case <-tick.C:
		case <-r.wake:
			if time.Since(last) < leastInterval {
				continue // until the next tick
			}
		case <-r.stop:
			stopping = true
		}
		live := r.remembered()
		r.mu.Lock()
		news := len(r.ended)+len(r.settled) > 0
		r.mu.Unlock()
		since := time.Since(last)
		due := news || len(live) > 0 || stale || since >= idleInterval
		if due && (written || since >= againInterval || stopping) {
			if written = r.write(live); written {
				stale = len(live) > 0
			}
			last = time.Now()
		}
		if stopping {
			return
		}
	}
}

// remembered are the sessions under way that history keeps.
func (r *recorder) remembered() []*control.SessionRecord {
	return slices.DeleteFunc(r.sessions.Live(), func(s *control.SessionRecord) bool { return !session.Remembered(&s.SessionStatus) })
}

// write writes once, and says whether that was done.
func (r *recorder) write(live []*control.SessionRecord) bool {
	r.mu.Lock()
	ended, settled := r.ended, r.settled
	r.ended, r.settled = nil, nil
	r.mu.Unlock()
	err := r.store.Write(history.Change{Process: r.process, Ended: ended, Live: live, Settled: settled}, r.bounds())
	if err != nil {
		r.mu.Lock()
		r.ended, r.settled = append(ended, r.ended...), append(settled, r.settled...)
		r.mu.Unlock()
	}
	r.note(err)
	return err == nil
}

// note keeps and logs what is wrong, or that it is no more.
func (r *recorder) note(err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	r.mu.Lock()
	before := r.problem
	r.problem = problem
	r.mu.Unlock()
	switch {
	case err != nil && before == "":
		r.log.Error().Err(err).Msg("history can't be written; migrations go on, and what ended is written when it can be")
	case err == nil && before != "":
		r.log.Info().Msg("history is written again")
	}
}

// status is where history is kept.
func (r *recorder) status() (st control.HistoryStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		st.File = r.store.File()
	}
	st.Problem = r.problem
	return st
}
