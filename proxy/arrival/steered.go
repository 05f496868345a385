package arrival

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// SteeredSessions are this host's halves of such sessions, by ID. The
// destination filter finds there where a Prepare's data comes in.
type SteeredSessions struct {
	mu sync.Mutex
	m  map[string]*Steered
}

func (ss *SteeredSessions) add(s *Steered) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.m == nil {
		ss.m = make(map[string]*Steered)
	}
	ss.m[s.Info.ID] = s
}

func (ss *SteeredSessions) remove(s *Steered) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.m, s.Info.ID)
}

// Claim finds peer's session for one Prepare, once.
func (ss *SteeredSessions) Claim(id, peer string) (*Steered, error) {
	ss.mu.Lock()
	s := ss.m[id]
	ss.mu.Unlock()
	if s == nil || s.Info.Peer != peer {
		return nil, fmt.Errorf("there is no session %.40q of this peer for the guest's data", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil { // its opener has not been told of it yet
		return nil, fmt.Errorf("session %s is not open yet", id)
	}
	if s.claimed {
		return nil, fmt.Errorf("session %s has a guest already", id)
	}
	s.claimed = true
	return s, nil
}

// Steered is the destination's half of a session of work "steered".
type Steered struct {
	arrivals *Arrivals
	Info     stream.Info
	entry    *session.Entry
	log      zerolog.Logger
	Dir      rundir.SessionDir
	guest    libvirt.UUID

	mu      sync.Mutex
	session *stream.Session // set before anything comes to it, and before it is claimed
	looks   sync.WaitGroup
	claimed bool
	arrived bool        // a memory channel has connected
	life    *Guest      // nil before Prepare
	cut     func(error) // ends the connection that prepared the guest
}

func (s *Steered) open() (err error) {
	if s.guest, err = virt.ParseUUID(s.Info.UUID); err != nil {
		return err
	}
	if s.Dir, err = s.arrivals.Dir.MakeSession(s.Info.ID, s.arrivals.QEMUUID); err != nil {
		return err
	}
	s.arrivals.Steered.add(s)
	return nil
}

// Connect connects to the socket that QEMU has made for this kind of channel.
func (s *Steered) Connect(ctx context.Context, kind string, _ int) (net.Conn, error) {
	switch kind {
	case stream.ChannelMemory:
		c, err := s.arrivals.ConnectQEMU(ctx, s.Dir, kind, s.guest)
		if err != nil {
			return nil, err // not c: an interface would hold its nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.arrived = true
		return c, nil
	case stream.ChannelDisk:
		return orNil(s.arrivals.ConnectQEMU(ctx, s.Dir, kind, s.guest))
	}
	return nil, fmt.Errorf("a migration has no %s channels", kind)
}

func (s *Steered) Call(_ context.Context, name string, body []byte) (any, error) {
	return nil, progressAlone(s.entry, name, body)
}

// progressAlone takes the one call that a steered migration has.
func progressAlone(e *session.Entry, name string, body []byte) error {
	if name == host.CallProgress {
		return host.TakeProgress(e, body)
	}
	return errors.New("a steered migration's session has no such calls: libvirt's go beside it")
}

func (s *Steered) start(session *stream.Session) {
	s.entry.SetSession(session)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
}

// Lost: libvirt no longer knows of the guest that it has prepared.
func (s *Steered) Lost(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.Fail(&stream.Cause{Code: stream.CodeLibvirt, Text: why.Error()})
}

// LocalGone fails the session if QEMU has died. If libvirt here was asked to end it, the source has
// the reason, and ends the session with that once libvirt has answered.
func (s *Steered) LocalGone(cause *stream.Cause) {
	s.mu.Lock()
	life := s.life
	s.mu.Unlock()
	if life != nil && life.CalledOff() {
		return
	}
	s.looks.Go(func() { s.arrivals.Libvirt.FailIfQEMUEnded(s.session, s.guest, cause) })
}

// Preparing: libvirt may hold the guest from now on, until its life here is over.
func (s *Steered) Preparing(life *Guest, t transfer.Transfer, cut func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Info.Clear && t.Steered {
		t.By = session.ByNothing
	}
	s.life, s.cut = life, cut
	s.entry.SecuredBy(t.Protection())
	s.entry.AskedBy(s.entry.Asker(), transfer.Flags(t.Flags))
	s.entry.SetPhase(control.PhasePrepare)
	s.looks.Go(func() {
		life.AwaitPostcopy(s.session.Context(), func() {
			s.session.Unbound()
			s.entry.SetPhase(control.PhasePost)
		})
	})
}

// HasMemory says whether a memory channel has connected. Without one there is nothing to finish,
// and libvirt would wait for it.
func (s *Steered) HasMemory() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived
}

// Phase shows what the migration is at.
func (s *Steered) Phase(phase string) { s.entry.SetPhase(phase) }

// End makes sure that no half-made guest stays behind.
func (s *Steered) End(cause *stream.Cause) {
	s.looks.Wait()
	s.arrivals.Steered.remove(s)
	s.mu.Lock()
	s.claimed = true
	life, cut := s.life, s.cut
	s.mu.Unlock()
	v := NeverRan
	if life != nil {
		v = life.GivenUp(cut, cause)
	}
	if v == Ran {
		s.entry.Downtime(s.arrivals.Downtime(s.guest))
	}
	s.Dir.Remove(s.log)
	s.arrivals.Sessions.EndMigration(s.entry, s.log, v == Ran, cause)
}
