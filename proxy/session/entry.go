package session

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// Entry is one session's place in the registry, from before it is opened until it has been ended.
type Entry struct {
	Info      stream.Info
	direction string
	led       bool // this host has opened it because its peer has asked for it
	started   time.Time

	mu       sync.Mutex
	carried  func() []Channel // nil until it is open
	phase    string
	rate     rateMeter // of what its channels have carried
	progress progress
	memory   string // what protects it on the wire; empty: as the session says
	disks    string

	made     []string // paths of disks that the destination has made
	replaced []string // URIs of the client's own

	intended netip.AddrPort // of an intercepted connection

	goal bool // for which the daemon decides what is done about a guest that does not get through

	asked    *control.Asker
	options  []string
	downtime time.Duration // of the guest; 0: not known
	timeline timeline

	cancel func(context.Context, *stream.Cause) error // as OnCancel has it
	over   chan struct{}                              // closed when it has ended
	ended  control.SessionStatus                      // set before
}

// channels are the session's so far, live and ended.
func (e *Entry) channels() []Channel {
	e.mu.Lock()
	carried := e.carried
	e.mu.Unlock()
	if carried == nil {
		return nil
	}
	return carried()
}

// SetChannels says whose the session's channels are.
func (e *Entry) SetChannels(carried func() []Channel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.carried = carried; e.phase == control.PhaseConnect && e.Info.Work != WorkMigration && e.Info.Work != WorkSteered {
		e.setPhase(control.PhaseOpen) // and has no others
	}
}

// SetSession is open for a session.
func (e *Entry) SetSession(s *stream.Session) {
	e.SetChannels(func() []Channel { return ChannelsOf(s) })
}

func (e *Entry) SetPhase(phase string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.setPhase(phase)
}

// setPhase is SetPhase with mu held.
func (e *Entry) setPhase(phase string) {
	e.phase = phase
	e.timeline.enter(e.phaseNow(), time.Since(e.started))
}

// SecuredBy says what keeps memory and disks secret, where it is not the session
// itself. Empty: there are none.
func (e *Entry) SecuredBy(memory, disks string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.memory, e.disks = memory, disks
}

// MadeDisks says which disks the destination has made for it, and keeps.
func (e *Entry) MadeDisks(paths []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made = paths
}

// InPlaceOf says by which URIs of its client's own the data would have gone past the session.
func (e *Entry) InPlaceOf(log zerolog.Logger, uris []string) {
	e.Decided("a session carries the guest, in place of the client's %s", strings.Join(uris, " and "))
	log.Info().Strs("uris", uris).Msg("a session carries the guest, in place of the client's own URIs")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.replaced = uris
}

// HasGoal says that it has a goal, for which the daemon decides what is done about a guest that does
// not get through.
func (e *Entry) HasGoal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.goal = true
}

// IntendedFor says where an intercepted connection was meant to go, or has come to.
func (e *Entry) IntendedFor(a netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.intended = a
}

// tick lets the rate and the timeline take in what was carried.
func (e *Entry) tick() {
	channels := e.channels()
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.rate.tick(now, carried(channels))
	p := e.progressAt(now, channels)
	e.timeline.enter(p.Phase, p.Elapsed)
	e.timeline.sample(p)
	if p.Stalled != "" {
		e.timeline.note(control.NoteWarning, stalledNote, p.Elapsed)
	}
}

// sampleNow is tick with a sample in any case.
func (e *Entry) sampleNow() {
	e.mu.Lock()
	e.timeline.next = 0
	e.mu.Unlock()
	e.tick()
}

// Status is the entry as `sluice status` shows it.
func (e *Entry) Status() control.SessionStatus {
	channels := e.channels()
	e.mu.Lock()
	defer e.mu.Unlock()
	st := control.SessionStatus{
		ID:        e.Info.ID,
		Kind:      e.Info.Work,
		Direction: e.direction,
		Guest:     e.Info.Guest,
		UUID:      e.Info.UUID,
		Peer:      e.Info.Peer,
		Address:   e.Info.Address,
		Phase:     e.phaseNow(),
		Started:   e.started,
		Channels:  []control.ChannelStatus{},
		Memory:    e.memory,
		Disks:     e.disks,
		DisksMade: e.made,
		InPlaceOf: e.replaced,
		Asked:     e.asked,
		Options:   e.options,
		Downtime:  e.downtime,
	}
	if e.intended.IsValid() {
		st.Intended = e.intended.String()
	}
	if e.Info.Work == WorkMigration && e.memory == "" && len(channels) > 0 { // it has connected
		st.Memory = BySluice
		if e.Info.Clear {
			st.Memory = ByNothing
		}
	}
	for _, c := range channels {
		used := c.TLS()
		ch := control.ChannelStatus{
			Name:     c.Name(),
			Kind:     c.Kind,
			Path:     c.Path(),
			TLS:      used.Version,
			Suite:    used.Suite,
			Group:    used.Group,
			Sent:     uint64(c.Sent()),
			Received: uint64(c.Received()),
			Open:     c.Open(),
		}
		st.Channels = append(st.Channels, ch)
		if c.Kind == stream.ChannelDisk {
			st.Disks = st.Memory
		}
		st.Sent += ch.Sent
		st.Received += ch.Received
		st.Path = cmp.Or(st.Path, ch.Path)
		st.TLS = cmp.Or(st.TLS, ch.TLS)
		st.Suite = cmp.Or(st.Suite, ch.Suite)
		st.Group = cmp.Or(st.Group, ch.Group)
	}
	p := e.progressAt(time.Now(), channels)
	if st.Rate = p.Rate; e.Info.Work != WorkLibvirt && e.Info.Work != WorkClient {
		st.Progress = &p
	}
	return st
}

// byPeer says whether the session is there because its peer has opened it or asked for it.
func (e *Entry) byPeer() bool { return e.direction == control.Incoming || e.led }

func (e *Entry) class() class { return classOf(e.direction, e.Info.Work) }
