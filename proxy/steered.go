package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// steeredSessions are this host's halves of such sessions, by ID. The guard of
// the calls finds there where a Prepare's data comes in.
type steeredSessions struct {
	mu sync.Mutex
	m  map[string]*steered
}

func (ss *steeredSessions) add(s *steered) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.m == nil {
		ss.m = make(map[string]*steered)
	}
	ss.m[s.info.ID] = s
}

func (ss *steeredSessions) remove(s *steered) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.m, s.info.ID)
}

// claim finds peer's session for one Prepare, once.
func (ss *steeredSessions) claim(id, peer string) (*steered, error) {
	ss.mu.Lock()
	s := ss.m[id]
	ss.mu.Unlock()
	if s == nil || s.info.Peer != peer {
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

// steered is the destination's half of a session of work "steered".
type steered struct {
	d     *Arrivals
	info  stream.Info
	entry *session.Entry
	log   zerolog.Logger
	dir   rundir.SessionDir
	guest libvirt.UUID

	mu       sync.Mutex
	session  *stream.Session // set before anything comes to it, and before it is claimed
	looks    sync.WaitGroup
	asked    bool // libvirt has been asked to take the guest over
	claimed  bool
	transfer transfer.Transfer
	cut      func(error)   // ends the connection that prepared the guest
	released chan struct{} // closed when libvirt holds no half-made guest; nil before Prepare
	what     verdict       // on the guest, once released
}

func (s *steered) open() (err error) {
	if s.guest, err = virt.ParseUUID(s.info.UUID); err != nil {
		return err
	}
	if s.dir, err = s.d.Dir.MakeSession(s.info.ID, s.d.QEMUUID); err != nil {
		return err
	}
	s.d.steered.add(s)
	return nil
}

// Connect connects to the socket that QEMU has made for this kind of channel.
func (s *steered) Connect(_ context.Context, kind string, _ int) (net.Conn, error) {
	switch kind {
	case stream.ChannelMemory:
		return s.dir.Connect(rundir.MemorySocket, s.d.QEMUUID)
	case stream.ChannelDisk:
		return s.dir.Connect(rundir.DiskSocket, s.d.QEMUUID)
	}
	return nil, fmt.Errorf("a migration has no %s channels", kind)
}

func (s *steered) Call(context.Context, string, []byte) (any, error) {
	return nil, errors.New("a steered migration's session has no calls: libvirt's go beside it")
}

func (s *steered) start(session *stream.Session) {
	s.entry.SetSession(session)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
}

// lost: libvirt no longer knows of the guest that it has prepared.
func (s *steered) lost(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session.Fail(&stream.Cause{Code: stream.CodeLibvirt, Text: why.Error()})
}

// LocalGone fails the session if QEMU has died.
func (s *steered) LocalGone(cause *stream.Cause) {
	s.looks.Go(func() { s.d.Libvirt.FailIfQEMUEnded(s.session, s.guest, cause) })
}

// preparing: libvirt may hold a guest from now on, until release.
func (s *steered) preparing(t transfer.Transfer, cut func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info.Clear && t.Steered {
		t.By = session.ByNothing
	}
	if t.Postcopy() {
		s.session.Unbound()
	}
	s.transfer, s.cut, s.released = t, cut, make(chan struct{})
	s.entry.SecuredBy(t.Protection())
	s.entry.SetPhase(control.PhasePrepare)
}

// finishing: libvirt is asked to take the guest over.
func (s *steered) finishing() {
	s.mu.Lock()
	s.asked = true
	s.mu.Unlock()
	s.entry.SetPhase(control.PhaseFinish)
}

// release: libvirt has finished the guest, or given it up, or can no longer be
// heard.
func (s *steered) release(what verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.released:
		return
	default:
	}
	if !s.asked {
		what = neverRan
	}
	s.what = what
	close(s.released)
}

// End makes sure that no half-made guest stays behind. The source's libvirt
// gives it up when its data no longer flows; if it does not, its connection is
// ended, and libvirtd destroys the guest with it. Once libvirt has been asked to
// take the guest over, it is libvirt's to decide, and its answer must come
// through: without it the source resumes the guest, which may then run twice.
// In post-copy the guest may run here, and stays.
func (s *steered) End(cause *stream.Cause) {
	s.looks.Wait()
	s.d.steered.remove(s)
	s.mu.Lock()
	s.claimed = true
	released, what := s.released, neverRan
	s.mu.Unlock()
	if released != nil {
		what = s.giveUp(cause)
	}
	s.dir.Remove(s.log)
	s.d.verdicts.set(s.info.Peer, s.info.ID, what)
	s.d.Sessions.EndMigration(s.entry, s.log, what == ran, cause)
}

// giveUp waits until libvirt here has the guest as its own, or not at all, and
// sees to it that it comes to that.
func (s *steered) giveUp(cause *stream.Cause) verdict {
	s.mu.Lock()
	cut, t := s.cut, s.transfer
	s.mu.Unlock()
	split := func() bool { return t.Postcopy() && s.d.Libvirt.InPostcopy(s.guest) }
	patience := time.NewTimer(s.d.Config.Limits.GiveUpTimeout)
	defer patience.Stop()
	select {
	case <-s.released:
	default:
		if split() {
			return undecided
		}
		select {
		case <-s.released:
		case <-patience.C:
			if split() {
				return undecided
			}
			s.mu.Lock()
			asked := s.asked
			s.mu.Unlock()
			if !asked {
				cut(fmt.Errorf("the migration of guest %s failed (%w), and its source does not give it up", s.info.Guest, cause))
			}
			<-s.released
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.what
}
