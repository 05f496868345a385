package departure

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Answer is what the destination says of a guest.
type Answer struct {
	Verdict Verdict
	State   string // in words, where the verdict is not known
}

// AnswerOf reads a peer's answer: one that is neither of the two verdicts decides nothing.
func AnswerOf(outcome, state string) Answer {
	if v := Verdict(outcome); v == Runs || v == Absent {
		return Answer{Verdict: v}
	}
	return Answer{State: state}
}

// Options make a Table. All but Settled are needed.
type Options struct {
	Host    string // this host's name
	Process string // unique among the processes of this host's sluice
	Libvirt virt.Libvirt
	PIDs    string // folder of libvirt's pid files of QEMU
	QEMUUID int
	Log     zerolog.Logger

	// Limits are what holds for a guest that begins to leave.
	Limits func() Limits

	// Lives says whether another process of this host's sluice lives. Its guests are its own.
	Lives func(process string) bool
	// Ask asks a peer's sluice what became of the guest of a session, on a new connection.
	Ask func(ctx context.Context, peer, session, uuid string) (Answer, error)
	// AskLibvirt asks the libvirt of a peer without a sluice.
	AskLibvirt func(ctx context.Context, peer string, guest libvirt.UUID) (Answer, error)

	// Settled, if not nil, is told what became of the guest of a session, and does not wait.
	Settled func(session, peer string, v Verdict)
}

// Limits are how long a departure waits.
type Limits struct {
	Finish time.Duration // for the destination to answer Finish
	GiveUp time.Duration // for libvirt here to do what it is about to, and for an answer after Finish's time is over
}

// Table is the guests that leave this host: those whose Finish was asked for, until nothing is left
// to decide.
type Table struct {
	Options

	ctx     context.Context // ends with the daemon's stop
	journal Journal
	work    *sync.WaitGroup

	warned   sync.Once  // that no fence can be set
	adopting sync.Mutex // one reads the journal only after another has written what it took up

	mu sync.Mutex
	m  map[libvirt.UUID]*Departure
}

// New makes a table. Nothing begins before Start.
func New(o Options) *Table { return &Table{Options: o, m: make(map[libvirt.UUID]*Departure)} }

// Start takes up what an earlier daemon has left behind. What runs from then on ends with ctx, and
// is counted by work.
func (t *Table) Start(ctx context.Context, journal Journal, work *sync.WaitGroup) error {
	t.ctx, t.journal, t.work = ctx, journal, work
	return t.Adopt()
}

// Adopt takes up what processes have left behind that live no more.
func (t *Table) Adopt() error {
	t.adopting.Lock()
	defer t.adopting.Unlock()
	kept, err := t.journal.Kept()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		r, uuid, err := readRecord(name, kept[name])
		switch {
		case err != nil:
			t.Log.Error().Err(err).Msg("a guest that was leaving may be stopped here: look at its QEMU")
		case r.Owner == t.Process || t.Lives(r.Owner):
		default:
			t.restore(r, uuid)
		}
	}
	return nil
}

// others fails where another process has a guest that leaves.
func (t *Table) others(uuid libvirt.UUID) error {
	kept, err := t.journal.Kept()
	if err != nil {
		return err
	}
	name := recordName(virt.FormatUUID(uuid))
	if kept[name] == nil {
		return nil
	}
	r, _, err := readRecord(name, kept[name])
	if err != nil || r.Owner == t.Process {
		return err
	}
	return fmt.Errorf("guest %s left for %s %s ago, before its sluice was replaced, and what became of it is not settled: `sluice status` says what is known", r.Guest, r.Peer, time.Since(r.Since).Round(time.Second))
}

// add makes a place for a guest, or says why there is none.
func (t *Table) add(d *Departure) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.m[d.uuid]; old != nil {
		st := old.Status()
		return fmt.Errorf("guest %s left for %s %s ago, and what became of it is not settled: `sluice status` says what is known", st.Guest, st.Peer, time.Since(st.Since).Round(time.Second))
	}
	t.m[d.uuid] = d
	return nil
}

func (t *Table) remove(d *Departure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[d.uuid] == d {
		delete(t.m, d.uuid)
	}
}

// Status is one guest that leaves.
type Status struct {
	Guest, UUID, Peer, Session string
	Since                      time.Time
	Fenced                     bool
	Ended                      bool // QEMU here
	Verdict                    Verdict
	Overdue                    bool   // nobody could tell in time what became of it
	Last                       string // what was heard last, in words
}

// Status lists the guests, those that left first first.
func (t *Table) Status() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Status, 0, len(t.m))
	for _, d := range t.m {
		all = append(all, d.Status())
	}
	slices.SortFunc(all, func(a, b Status) int { return a.Since.Compare(b.Since) })
	return all
}

// find is the departure of a guest, by its name or UUID.
func (t *Table) find(guest string) *Departure {
	t.mu.Lock()
	defer t.mu.Unlock()
	uuid, err := virt.ParseUUID(guest)
	for _, d := range t.m {
		if d.Status().Guest == guest || err == nil && d.uuid == uuid {
			return d
		}
	}
	return nil
}
