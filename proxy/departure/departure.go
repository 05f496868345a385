package departure

import (
	"context"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Move is a guest whose memory has been sent, and what moves it.
type Move struct {
	UUID     libvirt.UUID
	Session  string
	Peer     string
	Undefine bool // its definition here is to go with it
	// Fence is for a guest that libvirt here, or its client, resumes by itself when the answer to
	// Finish is lost.
	Fence bool
	// HungUp says whether the connection of the caller has been closed from its end. nil: there is
	// none whose end libvirt would resume the guest for.
	HungUp func() bool
	// Ended says whether the process that has the caller's connection has ended. nil: nobody can
	// tell.
	Ended func() bool
	// Taken says whether the caller has read all that was written to it, and its connection is still
	// open. nil: nobody can tell.
	Taken func() bool
	// WithoutSluice says that there is no sluice at the destination, whose libvirt is asked then.
	WithoutSluice bool
	// Ask asks the destination what became of the guest, on a new connection. Default: the table's.
	Ask func(ctx context.Context) (Answer, error)
	// Lose, if not nil, is called when the time for Finish's answer is over: the session ends for
	// it, or the destination would not answer Ask. It is called once at the most, and must not
	// wait.
	Lose func()
	Log  zerolog.Logger
}

// Departure is one guest, from Finish on.
type Departure struct {
	table  *Table
	uuid   libvirt.UUID
	rec    record
	move   Move
	limits Limits
	log    zerolog.Logger
	proc   *virt.QEMUProcess // nil: it can't be stopped

	occupied *virt.Occupation // not nil with state.Occupied, unless another daemon did it

	events   chan func()   // for run, which owns what is below
	answered chan struct{} // closed once the caller may have the answer, or will not get one
	overdue  chan struct{} // closed once it has been told that nobody can tell
	over     chan struct{} // closed once run has ended

	state  State
	wrote  bool      // the answer that the guest runs there, to the caller
	kept   bool      // there is a file for the next daemon
	open   time.Time // when the caller's connection was last seen open
	closed time.Time // when it was seen closed, a moment after that; zero: not so
	asks   turns
	looks  turns
	until  time.Time // when state.Late comes; zero: never

	mu   sync.Mutex // what Status shows of it
	seen Status
}

// lookTimeout bounds a question to libvirt here.
const lookTimeout = 10 * time.Second

// Begin fences a guest, and makes sure that it is as it was when its memory had been sent. After an
// error Finish must not go on, and nothing is left of the fence.
func (t *Table) Begin(ctx context.Context, m Move) (*Departure, error) {
	d := t.newDeparture(m)
	d.note("its destination is about to be asked")
	if err := t.others(m.UUID); err != nil { // first, since Adopt makes a place for what it finds
		return nil, err
	}
	if err := t.add(d); err != nil {
		return nil, err
	}
	if err := d.fence(ctx); err != nil {
		t.work.Go(d.run) // sees to it that it goes on here
		return nil, err
	}
	d.state.Asked, d.open = true, time.Now()
	d.until = time.Now().Add(d.limits.Finish)
	d.note("the destination has been asked to take it over")
	t.work.Go(d.run)
	return d, nil
}

func (t *Table) newDeparture(m Move) *Departure {
	d := &Departure{table: t, uuid: m.UUID, move: m, limits: t.Limits(), log: m.Log,
		events: make(chan func(), 16), answered: make(chan struct{}), overdue: make(chan struct{}), over: make(chan struct{})}
	d.rec = record{Owner: t.Process, UUID: virt.FormatUUID(m.UUID), Session: m.Session, Peer: m.Peer, WithoutSluice: m.WithoutSluice, Undefine: m.Undefine, Since: time.Now()}
	d.state.Cleared, d.state.NoFence = !m.Undefine, !m.Fence
	if m.Ask == nil {
		d.move.Ask = func(ctx context.Context) (Answer, error) {
			if m.WithoutSluice {
				return t.AskLibvirt(ctx, m.Peer, m.UUID)
			}
			return t.Ask(ctx, m.Peer, m.Session, d.rec.UUID)
		}
	}
	return d
}

// Answered tells what the destination's own answer to Finish was. The caller has it, or will have
// it in a moment.
func (d *Departure) Answered(v Verdict) {
	d.tell(func() {
		d.decide(v, "it has answered")
		d.state.Caller = max(d.state.Caller, Told)
		d.openAnswer()
	})
}

// Replied tells that the answer has been written to the caller, and that the guest runs.
func (d *Departure) Replied() { d.tell(func() { d.wrote = true }) }

// Lost tells that the destination's answer to Finish won't come.
func (d *Departure) Lost() {
	d.tell(func() { d.lose() })
}

// Await waits for what becomes certain, be it by the destination's answer to a question, or by the
// word of an operator, and then for what must be done before the caller may have the answer. It is
// Unknown if ctx has ended first, or if nobody could tell in time, and libvirt here can't resume the
// guest whatever it is told.
func (d *Departure) Await(ctx context.Context) Verdict {
	d.Lost()
	select {
	case <-d.answered:
		return d.Status().Verdict
	case <-ctx.Done():
		return Unknown
	}
}

// AwaitInTime is Await until the time is over in which somebody was to tell.
func (d *Departure) AwaitInTime(ctx context.Context) Verdict {
	d.Lost()
	select {
	case <-d.answered:
		return d.Status().Verdict
	case <-d.overdue:
	case <-ctx.Done():
	}
	return Unknown
}

// CallerGone tells that the caller's connection has ended.
func (d *Departure) CallerGone() { d.tell(d.callerGone) }

func (d *Departure) callerGone() {
	d.state.Caller, d.looks = Gone, turns{}
	d.lose()
	d.openAnswer()
}

// Over is closed when nothing is left to decide, or the daemon stops.
func (d *Departure) Over() <-chan struct{} { return d.over }

// Status is what is known of it.
func (d *Departure) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

// tell has run take note of something.
func (d *Departure) tell(f func()) {
	select {
	case d.events <- f:
	case <-d.over:
	}
}

// note updates what Status shows.
func (d *Departure) note(last string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = Status{Guest: d.rec.Guest, UUID: d.rec.UUID, Peer: d.rec.Peer, Session: d.rec.Session, Since: d.rec.Since,
		Fenced: d.state.Fenced, Ended: d.state.Ended, Verdict: d.state.Verdict, Overdue: d.state.Reported && d.state.Verdict == Unknown, Last: last}
}

// close lets go of the process.
func (d *Departure) close() {
	if d.occupied != nil {
		d.occupied.Close()
	}
	if d.proc != nil {
		d.proc.Close()
	}
}

func (d *Departure) keep() error {
	d.kept = true
	return d.rec.keep(d.table.journal)
}

func (d *Departure) forget() {
	if !d.kept {
		return
	}
	d.kept = false
	if err := d.rec.forget(d.table.journal); err != nil {
		d.log.Error().Err(err).Msg("the file of a guest that has left")
	}
}

// guestOf is a state of libvirt's as this package sees it.
func guestOf(s virt.State) Guest {
	switch {
	case s.Absent:
		return NotHere
	case s.InPostcopy():
		return InPostcopy
	case s.PausedForMigration():
		return Paused
	case s.Paused():
		return Held
	}
	return Running // or on its way to or from there
}
