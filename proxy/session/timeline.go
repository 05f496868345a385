package session

import (
	"fmt"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// timeline is how a session went, for history: its phases, what was decided about it, and figures at
// intervals that double, so that there are few of however long a session.
type timeline struct {
	phases  []control.PhaseStart
	passes  []control.PassStart
	notes   []control.Note
	samples control.Samples
	every   time.Duration // between samples; 0 before the first
	next    time.Duration // when the next one is due, since the session's start
}

// Most that a session keeps.
const (
	maxSamples = 240
	maxPhases  = 64
	maxPasses  = 256
	maxNotes   = 64
)

// enter notes a phase, unless the session is in it.
func (t *timeline) enter(phase string, at time.Duration) {
	n := len(t.phases)
	if n == maxPhases || n > 0 && t.phases[n-1].Phase == phase {
		return
	}
	t.phases = append(t.phases, control.PhaseStart{Phase: phase, At: at.Milliseconds()})
}

// pass notes a pass over memory, unless it has been noted.
func (t *timeline) pass(st virt.JobStats, at time.Duration) {
	n := len(t.passes)
	if st.Iteration == 0 || n == maxPasses || n > 0 && t.passes[n-1].Pass >= st.Iteration {
		return
	}
	t.passes = append(t.passes, control.PassStart{Pass: st.Iteration, At: at.Milliseconds(), Remaining: st.Remaining, DirtyRate: st.DirtyRate})
}

// note notes something once.
func (t *timeline) note(kind, text string, at time.Duration) {
	if len(t.notes) == maxNotes || slices.ContainsFunc(t.notes, func(n control.Note) bool { return n.Kind == kind && n.Text == text }) {
		return
	}
	t.notes = append(t.notes, control.Note{At: at.Milliseconds(), Kind: kind, Text: text})
}

// decisions are those of the notes that are of the daemon's acts.
func (t *timeline) decisions() (made []control.Note) {
	for _, n := range t.notes {
		if n.Kind == control.NoteDecision {
			made = append(made, n)
		}
	}
	return made
}

// sample takes in figures, if they are due.
func (t *timeline) sample(p control.Progress) {
	if t.every == 0 {
		t.every = tickInterval
	}
	if p.Elapsed < t.next {
		return
	}
	s := &t.samples
	s.At = append(s.At, p.Elapsed.Milliseconds())
	s.Carried = append(s.Carried, p.Carried)
	s.Rate = append(s.Rate, p.Rate)
	s.Remaining = append(s.Remaining, p.Remaining)
	s.DirtyRate = append(s.DirtyRate, p.DirtyRate)
	if len(s.At) == maxSamples {
		s.At, t.every = halved(s.At), 2*t.every
		for _, column := range []*[]uint64{&s.Carried, &s.Rate, &s.Remaining, &s.DirtyRate} {
			*column = halved(*column)
		}
	}
	t.next = p.Elapsed.Truncate(t.every) + t.every - tickInterval/2 // ticks are not to the millisecond
}

// halved is every other element.
func halved[T any](all []T) (half []T) {
	for i := 0; i < len(all); i += 2 {
		half = append(half, all[i])
	}
	return half
}

// into copies it into a record.
func (t *timeline) into(r *control.SessionRecord) {
	r.Phases, r.Passes, r.Notes = slices.Clone(t.phases), slices.Clone(t.passes), slices.Clone(t.notes)
	s := &t.samples
	r.Samples = &control.Samples{At: slices.Clone(s.At), Carried: slices.Clone(s.Carried), Rate: slices.Clone(s.Rate),
		Remaining: slices.Clone(s.Remaining), DirtyRate: slices.Clone(s.DirtyRate)}
}

// Decided notes for history what sluice has done about the migration, and why.
func (e *Entry) Decided(format string, args ...any) { e.note(control.NoteDecision, format, args...) }

// Decisions are what was noted by Decided.
func (e *Entry) Decisions() []control.Note {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.timeline.decisions()
}

// Limited notes a limit that was met.
func (e *Entry) Limited(format string, args ...any) { e.note(control.NoteLimit, format, args...) }

// Warned notes what somebody should know of.
func (e *Entry) Warned(format string, args ...any) { e.note(control.NoteWarning, format, args...) }

func (e *Entry) note(kind, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timeline.note(kind, fmt.Sprintf(format, args...), time.Since(e.started))
}

// AskedBy says who asked for the session, and by which options.
func (e *Entry) AskedBy(who *control.Asker, options []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked, e.options = who, options
}

// Asker is who asked for the session; nil if that is not known.
func (e *Entry) Asker() *control.Asker {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

// Downtime says how long the guest did not run; 0: not known.
func (e *Entry) Downtime(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.downtime = d
}

// record is the session for history, with st as its status.
func (e *Entry) record(st control.SessionStatus, by control.Keeper) *control.SessionRecord {
	r := &control.SessionRecord{SessionStatus: st, Keeper: by}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timeline.into(r)
	return r
}

// Remembered says whether history keeps a session: one that carries a guest, or was to. Connections
// of libvirt's clients, of which a program that only looks makes many, would push those out.
func Remembered(s *control.SessionStatus) bool {
	switch s.Kind {
	case WorkMigration, WorkSteered, WorkIntercept:
		return true
	}
	return s.Kind == WorkLead && s.Outcome == control.Failed // else there is one of WorkSteered
}
