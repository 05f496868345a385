package proxy

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/internal/history"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// newRecorder makes what keeps history, where the configuration says.
func (d *Daemon) newRecorder(folder string) *recorder {
	r := &recorder{
		process: d.process.ID, sessions: d.Sessions, log: d.Log, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		bounds: func() history.Bounds {
			l := d.now().Config.Limits
			return history.Bounds{Sessions: l.HistorySessions, Age: time.Duration(l.HistoryDays) * 24 * time.Hour}
		},
	}
	if folder != "" {
		r.store = &history.Store{Folder: folder, Aside: func(name string, damage error) {
			d.Log.Error().Err(damage).Str("file", name).Msg("the file of history was damaged; it has been set aside, and a new one is begun")
		}}
	}
	return r
}

// startHistory takes up what earlier processes have left, and begins to write.
func (d *Daemon) startHistory() {
	d.adoptHistory()
	d.history.begin()
}

// sessionEnded is told of each session that has ended.
func (d *Daemon) sessionEnded(r *control.SessionRecord) {
	d.durations.add(r)
	if session.Remembered(&r.SessionStatus) {
		d.audit(r)
		d.history.add(r)
		d.traces.Ended(r)
	}
}

// audit logs a migration that has ended, in one line of which the names of fields don't change.
func (d *Daemon) audit(r *control.SessionRecord) {
	e := d.Log.Info().Str("audit", "migration").Str("session", r.ID).Str("work", r.Kind).Str("direction", r.Direction).
		Str("guest", r.Guest).Str("uuid", r.UUID).Str("peer", r.Peer).Str("address", r.Address)
	if a := r.Asked; a != nil {
		if a.UID != nil {
			e.Uint32("uid", *a.UID).Str("user", a.User).Int("caller_pid", a.PID)
		}
		if a.Certificate != "" {
			e.Str("certificate", a.Certificate)
		}
	}
	e.Strs("options", r.Options).Str("outcome", r.Outcome).Str("code", r.Code).Str("cause", r.Cause).
		Time("started", r.Started).Dur("elapsed", r.Ended.Sub(r.Started)).Dur("downtime", r.Downtime).
		Uint64("sent", r.Sent).Uint64("received", r.Received).Str("tls", r.TLS).Str("suite", r.Suite).Str("path", r.Path).
		Msg("migration ended")
}

// adoptHistory makes entries of the sessions of processes that were killed, and has status show what
// ended before this one began.
func (d *Daemon) adoptHistory() {
	store := d.history.store
	if store == nil {
		return
	}
	lives := func(process string) bool { return process == d.process.ID || d.earlier.lives(process) }
	adopted, err := store.Adopt(lives, d.judgeKilled)
	for _, r := range adopted {
		d.audit(&r)
		d.traces.Ended(&r)
	}
	var last []control.SessionRecord
	if err == nil {
		last, err = store.List(&control.HistoryQuery{Limit: session.KeptEnded})
	}
	d.Sessions.Restore(last)
	d.history.note(err)
}

// judgeKilled says what is known of a session whose daemon is gone. Of a guest that left, only its
// departure tells; of one that came, this host may have noted that it ran.
func (d *Daemon) judgeKilled(r *control.SessionRecord) bool {
	r.Outcome, r.Code, r.Rate, r.Progress = control.Unknown, control.CodeKilled, 0, nil
	r.Cause = fmt.Sprintf("%s: the daemon (process %d) ended while this was under way: it was killed, or the host went down", r.Host, r.PID)
	if r.Kind == session.WorkIntercept {
		r.Outcome = control.Failed
	}
	for i := range r.Channels {
		r.Channels[i].Open = false
	}
	if r.Direction != control.Incoming {
		return true
	}
	switch v, _ := d.now().arrivals.Became(r.Peer, r.ID); v {
	case arrival.Ran:
		r.Outcome = control.Moved
	case arrival.NeverRan:
		r.Outcome = control.Failed
	}
	return true
}

// departureSettled is told what became of a guest that left.
func (d *Daemon) departureSettled(id, peer string, v departure.Verdict) {
	s := history.Settled{Session: id, At: time.Now(), Outcome: control.Moved, Text: fmt.Sprintf("it is settled that the guest runs on %s", peer)}
	if v == departure.Absent {
		s.Outcome, s.Text = control.Failed, fmt.Sprintf("it is settled that the guest has not run on %s and never will", peer)
	}
	d.Sessions.Settle(id, s.Outcome)
	d.history.settle(s)
}

// listHistory answers `sluice history`.
func (d *Daemon) listHistory(_ context.Context, q *control.HistoryQuery) (*control.History, error) {
	h := &control.History{Host: d.now().Config.Name, Sessions: []control.SessionRecord{}}
	var err error
	if d.history.store != nil {
		var kept []control.SessionRecord
		if kept, err = d.history.store.List(q); err == nil {
			h.Sessions = append(h.Sessions, kept...)
		}
	}
	h.HistoryStatus = d.history.status()
	if err != nil {
		h.Problem = err.Error()
	}
	// What ended last may not have been written yet, and is all that is known where nothing is kept.
	for _, r := range d.Sessions.Ended() {
		known := slices.ContainsFunc(h.Sessions, func(o control.SessionRecord) bool { return o.ID == r.ID && o.Direction == r.Direction })
		if !known && session.Remembered(&r.SessionStatus) && q.Wants(&r.SessionStatus) {
			short := *r
			short.Samples = nil
			h.Sessions = append(h.Sessions, short)
		}
	}
	slices.SortStableFunc(h.Sessions, func(a, b control.SessionRecord) int { return b.Ended.Compare(a.Ended) })
	if q.Limit > 0 {
		h.Sessions = h.Sessions[:min(q.Limit, len(h.Sessions))]
	}
	return h, nil
}

// findSession answers `sluice report`: the newest session that is meant, live ones first.
func (d *Daemon) findSession(_ context.Context, name string) (*control.SessionRecord, error) {
	var err error
	var kept *control.SessionRecord
	for _, r := range append(d.history.remembered(), d.Sessions.Ended()...) {
		if r.Is(name) && session.Remembered(&r.SessionStatus) && r.Samples != nil {
			return r, nil
		}
	}
	if d.history.store != nil {
		kept, err = d.history.store.Find(name)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("history can't be read: %w", err)
	case kept == nil:
		return nil, &control.Error{Code: http.StatusNotFound, Message: fmt.Sprintf("no migration of a guest %q, and no session of that ID, is under way on %s or in its history: `sluice history` lists what is", stream.Printable(name), d.now().Config.Name)}
	}
	return kept, nil
}

// askerOf is who has made a request of the control socket.
func askerOf(ctx context.Context) *control.Asker {
	c, ok := ctx.Value(connKey{}).(*host.Caller)
	if !ok {
		return nil
	}
	return c.Asker()
}
