package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// steeredSource is a migration that a libvirt client runs, at the host of the
// client: a session for its data, from the client's Prepare to its Finish.
type steeredSource struct {
	gateway *Gateway
	entry   *session.Entry
	log     zerolog.Logger
	session *stream.Session
	steering
	dir       rundir.SessionDir
	opener    *stream.Opener
	listeners qemuListeners
	over      chan struct{} // closed when nothing of it is left
	held      chan struct{} // closed before the guest is held
	hold      func()        // closes held
	followed  chan struct{} // closed once libvirt is asked nothing more of QEMU

	mu        sync.Mutex
	departure *departure.Departure // from Finish on; nil in post-copy
	outcome   string               // of a migration whose guest was asked for: empty as long as it has failed
	decided   chan struct{}        // nil before Finish; closed once it is known what became of the guest
	ended     bool                 // without a Finish
	asked     *stream.Cause        // why it was cancelled; nil: it was not
	known     func()               // closes decided; nil before Finish
}

// steering is what the session of a migration is opened for.
type steering struct {
	guest    guest
	transfer transfer.Transfer
	id       string         // the session's
	beside   string         // ID of that of the client who runs the migration; empty if it has none with the peer
	asked    *control.Asker // who runs it; nil: that is not known
	told     bool           // libvirt here can be told where disks go, as qemuListeners have it
	led      bool           // the peer has asked for it, and only by its word does the guest go there
	switched func()         // called once libvirt says that the guest is in post-copy; may be nil
}

// steer opens the session of a migration to p. What it opened is gone again when it fails.
func (gw *Gateway) steer(ctx context.Context, p *peer.Peer, s steering) (*steeredSource, error) {
	if !stream.ValidID(s.id) { // it becomes the name of a folder
		return nil, fmt.Errorf("%.40q is no session ID", s.id)
	}
	t := &s.transfer
	if t.Steered && t.Flags&libvirt.MigrateZerocopy != 0 && bySockets(t.Disks(), s.told) {
		// QEMU blames the kernel for it: "Zero copy send feature not detected in host kernel".
		return nil, errors.New("QEMU's zero copy takes a TCP connection, and its connections to sluice are unix sockets: leave out --zerocopy")
	}
	gw = gw.now()
	name := p.Name
	if p = gw.Peers.Get(name); p == nil {
		return nil, fmt.Errorf("%s is no peer in the configuration of %s any more", name, gw.Config.Name)
	}
	if t.Steered {
		if err := gw.CheckChannels(t.Channels); err != nil {
			return nil, err
		}
	}
	if err := gw.CheckLeaving(ctx, s.guest.id); err != nil {
		return nil, err
	}
	info := stream.Info{
		ID:      s.id,
		Work:    session.WorkSteered,
		Guest:   s.guest.name,
		UUID:    s.guest.uuid,
		Peer:    p.Name,
		Address: p.Conf.Address,
		Clear:   t.Steered && gw.TLSDefault(p) == control.No,
		Beside:  s.beside,
	}
	if info.Clear {
		t.By = session.ByNothing
	}
	m := &steeredSource{gateway: gw, steering: s, opener: gw.Opener(p), over: make(chan struct{}), held: make(chan struct{}), followed: make(chan struct{})}
	m.hold = sync.OnceFunc(func() { close(m.held) })
	var err error
	if s.led {
		m.entry, err = gw.Sessions.AddLed(info)
	} else {
		m.entry, err = gw.Sessions.Add(info, control.Outgoing)
	}
	if err != nil {
		return nil, err
	}
	m.entry.SecuredBy(t.Protection())
	m.entry.AskedBy(s.asked, transfer.Flags(t.Flags))
	m.log = session.Log(gw.Log, info, control.Outgoing)
	if t.By == session.ByNothing {
		m.log.Warn().Msg("memory and disks go in clear, as configured")
		m.entry.Warned("memory and disks go in clear, as configured")
	}
	if m.dir, err = gw.Dir.MakeSession(info.ID, -1); err == nil {
		m.session, err = m.opener.Open(ctx, info)
	}
	if err != nil {
		m.dir.Remove(m.log)
		gw.Sessions.End(m.entry, control.Failed, session.CauseOf(err).Code, err.Error())
		m.log.Warn().Err(err).Msg("session refused")
		return nil, err
	}
	m.entry.SetSession(m.session)
	gw.NoteLimits(m.entry, 0)
	m.entry.OnCancel(m.cancel)
	m.entry.SetPhase(control.PhasePrepare)
	m.log.Info().Msg("session opened")
	m.listeners = qemuListeners{gateway: gw, session: m.session, guest: s.guest.id, log: m.log, connected: make(chan struct{})}
	if t.Steered {
		err = m.listeners.listen(m.dir, t.Disks(), s.told)
	}
	gw.Work.Go(m.wait)
	gw.Work.Go(m.follow)
	if t.Postcopy() {
		gw.Work.Go(m.awaitPostcopy)
	}
	if err != nil {
		m.fail(stream.CodeLocal, err.Error())
		<-m.over
		return nil, err
	}
	return m, nil
}

// awaitQEMU waits, where the peer has asked for the session, until the guest's QEMU has connected:
// before that libvirt is asked nothing, and the peer told nothing, of a guest that may go elsewhere.
// It is false if the session has ended first, or the guest is held.
func (m *steeredSource) awaitQEMU() bool {
	if !m.led {
		return true
	}
	select {
	case <-m.listeners.connected:
		return true
	case <-m.held:
		return false
	case <-m.session.Context().Done():
		return false
	}
}

// awaitPostcopy lifts the limits of a guest that has switched to post-copy.
func (m *steeredSource) awaitPostcopy() {
	if !m.awaitQEMU() {
		return
	}
	m.gateway.arrivals.AwaitPostcopy(m.session.Context(), m.guest.id, func() {
		m.session.Unbound()
		if m.switched != nil {
			m.switched()
		}
	})
}

// follow has libvirt here asked how far it is, until the session ends or the guest is held.
func (m *steeredSource) follow() {
	defer close(m.followed)
	if !m.awaitQEMU() {
		return
	}
	ctx := m.session.Context()
	job := host.Job{Guest: libvirt.Domain{Name: m.guest.name, UUID: m.guest.id, ID: -1}, Entry: m.entry, Tell: m.session.Call, Until: m.held}
	if m.transfer.Postcopy() {
		job.Look = func(v *virt.Conn, _ virt.JobStats) {
			if state, err := v.State(ctx, m.guest.id); err == nil && state.InPostcopy() {
				m.entry.SetPhase(control.PhasePost)
			}
		}
	}
	defer m.pursue(ctx, &job)()
	m.gateway.FollowJob(ctx, job)
}

// wait ends the session's place here once it is over.
func (m *steeredSource) wait() {
	defer close(m.over)
	cause := m.session.Wait()
	m.listeners.accepts.Wait()
	m.dir.Remove(m.log)
	m.mu.Lock()
	decided := m.decided
	m.ended = decided == nil
	m.mu.Unlock()
	if decided != nil {
		<-decided
	}
	m.mu.Lock()
	outcome := m.outcome
	m.mu.Unlock()
	if outcome == control.Unknown {
		m.gateway.Sessions.EndLogged(m.entry, m.log, outcome, cause)
		return
	}
	m.gateway.Sessions.EndMigration(m.entry, m.log, outcome == control.Moved, cause)
}

// isOver says whether nothing is left of it.
func (m *steeredSource) isOver() bool {
	select {
	case <-m.over:
		return true
	default:
		return false
	}
}

var errNothingSent = errors.New("the guest's QEMU has sent nothing")

// hasMemory says whether the guest's own QEMU has connected for its memory.
func (m *steeredSource) hasMemory() bool {
	return slices.ContainsFunc(m.session.Channels(), func(c *stream.Channel) bool { return c.Kind == stream.ChannelMemory })
}

// isUnderWay fails unless the migration that libvirt here has under way is the one in which QEMU has
// connected to this session. A peer can keep the session of one that was given up until the guest is
// paused again, for its user or on its way to another host.
func (m *steeredSource) isUnderWay(ctx context.Context) error {
	if !m.listeners.hasConnected() {
		return errNothingSent
	}
	limit := m.gateway.Config.Limits.HandshakeTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("libvirt does not answer within %v", limit))
	defer cancel()
	leaving, err := m.gateway.Libvirt.LeavingSince(ctx, m.guest.id, m.listeners.connectedAt)
	switch {
	case err != nil:
		return fmt.Errorf("ask libvirt for the guest's migration: %w", err)
	case !leaving:
		return errors.New("libvirt has given up the migration in which the guest's QEMU connected to this session")
	}
	return nil
}
