package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// paramSession is the parameter by which a Prepare names its session, from one
// sluice to the other. libvirt never sees it.
const paramSession = "sluice.session"

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
	id       string // the session's
	beside   string // ID of that of the client who runs the migration; empty if it has none with the peer
	told     bool   // libvirt here can be told where disks go, as qemuListeners have it
	led      bool   // the peer has asked for it, and only by its word does the guest go there
	switched func() // called once libvirt says that the guest is in post-copy; may be nil
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
	if p = gw.Peers.All[name]; p == nil {
		return nil, fmt.Errorf("%s is no peer in the configuration of %s any more", name, gw.Config.Name)
	}
	if t.Steered {
		if err := gw.CheckChannels(t.Channels); err != nil {
			return nil, err
		}
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
	m := &steeredSource{gateway: gw, steering: s, opener: gw.Opener(p), over: make(chan struct{})}
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
	m.log = session.Log(gw.Log, info, control.Outgoing)
	if t.By == session.ByNothing {
		m.log.Warn().Msg("memory and disks go in clear, as configured")
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
// It is false if the session has ended first.
func (m *steeredSource) awaitQEMU() bool {
	if !m.led {
		return true
	}
	select {
	case <-m.listeners.connected:
		return true
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

// follow has libvirt here asked how far it is, until the session ends.
func (m *steeredSource) follow() {
	if !m.awaitQEMU() {
		return
	}
	ctx := m.session.Context()
	job := host.Job{Guest: libvirt.Domain{Name: m.guest.name, UUID: m.guest.id, ID: -1}, Entry: m.entry, Tell: m.session.Call}
	if m.transfer.Postcopy() {
		job.Look = func(v *virt.Conn, _ virt.JobStats) {
			if state, err := v.State(ctx, m.guest.id); err == nil && state.InPostcopy() {
				m.entry.SetPhase(control.PhasePost)
			}
		}
	}
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

// prepare is what becomes of the client's Prepare: it goes on with the session's name, and comes
// back with where the session's listeners are, or has failed.
func (m *steeredSource) prepare(call *libvirtrpc.Prepare, failed func()) libvirtrpc.Outcome {
	call.Params = call.Params.With(paramSession, m.session.ID)
	return libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		if r.Err != nil {
			failed()
			m.hint(call, r.Err)
			m.fail(stream.CodeLibvirt, virt.Words("preparing the guest", r.Err))
			return
		}
		if err := m.point(r); err != nil {
			failed()
			m.fail(stream.CodeProtocol, err.Error())
			r.Err = libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
			return
		}
		m.entry.SetPhase(control.PhaseMemory)
	}}
}

// hint adds to the destination's refusal of a guest whose disks are missing there what they are here.
func (m *steeredSource) hint(call *libvirtrpc.Prepare, refusal *libvirtrpc.Error) {
	ctx, cancel := context.WithTimeout(m.session.Context(), m.gateway.Config.Limits.HandshakeTimeout)
	defer cancel()
	description, _, _ := call.Params.Text(libvirtrpc.ParamDestXML)
	incremental := m.transfer.Flags&libvirt.MigrateNonSharedInc != 0
	if make := m.gateway.Libvirt.MissingDisks(ctx, m.guest.id, description, incremental, refusal.Message, m.session.Peer); make != "" {
		refusal.Message += "; " + make
	}
}

// point points the source's libvirt to the session's listeners.
func (m *steeredSource) point(r *libvirtrpc.Reply) error {
	if !m.transfer.Steered {
		return nil
	}
	return pointTo(r, m.listeners.uri, m.listeners.diskPort, m.log)
}

// pointTo puts into the reply to a Prepare where QEMU at the source brings its data. diskPort is 0
// where no disks go.
func pointTo(r *libvirtrpc.Reply, uri string, diskPort int, log zerolog.Logger) error {
	prepared, err := libvirtrpc.DecodePrepared(r.Body)
	if err != nil {
		return err
	}
	prepared.URI = &uri
	if diskPort != 0 {
		var is bool
		prepared.Cookie, is, err = libvirtrpc.SetNBDPort(prepared.Cookie, diskPort)
		if err != nil {
			return err
		}
		if !is {
			log.Info().Msg("the destination takes no disks, though the flags say so")
		}
	}
	r.Body = prepared.Encode()
	return nil
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
	select {
	case <-m.listeners.connected:
	default:
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

// finish is what becomes of the client's Finish: the reply ends the session. cut ends the way
// of the reply.
func (m *steeredSource) finish(ctx context.Context, call *libvirtrpc.Finish, caller caller, cut func(*stream.Cause)) outcome {
	o := libvirtrpc.Outcome{Body: call.Encode()}
	if call.Cancelled != 0 {
		o.Reply = func(*libvirtrpc.Reply) {
			m.fail(stream.CodeCancelled, "libvirt at the source gave the migration up")
		}
		return outcome{o}
	}
	known, err := m.undecided()
	if err != nil {
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	defer m.entry.SetPhase(control.PhaseFinish)                    // once it goes on
	if m.split() || m.transfer.Flags&libvirt.MigrateOffline != 0 { // libvirt's to keep, and not to run here
		o.Lost = func(context.Context) *libvirtrpc.Reply {
			known()
			return nil
		}
		o.Await = func() time.Duration { return 0 }
		o.Reply = func(r *libvirtrpc.Reply) {
			defer known()
			if r.Err != nil {
				m.fail(stream.CodeLibvirt, virt.Words("taking the guest over", r.Err))
			} else {
				m.done()
			}
		}
		return outcome{o}
	}
	d, err := m.depart(ctx, call.Flags, caller, cut)
	if err != nil {
		known()
		m.fail(stream.CodeLocal, err.Error())
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	o.Await = func() time.Duration { return m.gateway.Config.Limits.FinishTimeout }
	o.Reply = func(r *libvirtrpc.Reply) {
		defer known()
		if r.Err == nil {
			d.Answered(departure.Runs)
			m.done()
			return
		}
		// Who says so may have lost the way to libvirt, and the guest run all the same.
		m.fail(stream.CodeLibvirt, virt.Words("taking the guest over", r.Err))
		if answer := m.resolve(context.Background(), d, r.Err); answer != nil {
			*r = *answer
		}
	}
	o.Lost = func(ctx context.Context) *libvirtrpc.Reply {
		defer known()
		m.fail(stream.CodeLink, "the connection of libvirt's client broke while the guest was being taken over")
		cause := m.session.Wait()
		return m.resolve(ctx, d, libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice: %v; the guest is not there", cause))
	}
	return outcome{o}
}

// undecided keeps the session's place here until the function that it returns tells that it is
// known what became of the guest. It fails for a guest whose migration was cancelled.
func (m *steeredSource) undecided() (known func(), err error) {
	decided := make(chan struct{})
	known = sync.OnceFunc(func() { close(decided) })
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.calledOff(); err != nil {
		return nil, err
	}
	m.decided, m.known = decided, known
	return known, nil
}

// depart fences the guest, so that it can't be resumed here before it is known what became of it.
// caller and cut are as finish has them; nil where the client asks for Finish elsewhere, and for
// Confirm here, by which alone libvirt resumes the guest.
func (m *steeredSource) depart(ctx context.Context, flags uint32, caller caller, cut func(*stream.Cause)) (*departure.Departure, error) {
	move := departure.Move{
		UUID:     m.guest.id,
		Session:  m.session.ID,
		Peer:     m.session.Peer,
		Undefine: flags&uint32(libvirt.MigrateUndefineSource) != 0,
		Lose: func() {
			limit := m.gateway.Config.Limits.FinishTimeout
			cause := &stream.Cause{Code: stream.CodeTimeout, Text: fmt.Sprintf("%s did not take the guest over within %v (limits.finish_timeout)", m.session.Peer, limit)}
			m.fail(cause.Code, cause.Text)
			if cut != nil {
				cut(cause)
			}
		},
		Log: m.log,
	}
	if caller != nil {
		move.Fence, move.HungUp, move.Ended = true, caller.hungUp, caller.ended
	}
	d, err := m.gateway.Departures.Begin(ctx, move)
	if err == nil {
		m.mu.Lock()
		m.departure = d
		m.mu.Unlock()
	}
	return d, err
}

// leaving is the guest's departure, once Finish may have been asked for, and what tells that its
// outcome is known.
func (m *steeredSource) leaving() (d *departure.Departure, known func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.departure, m.known
}

// resolve waits until it is known what became of the guest, while libvirt here waits with the guest
// paused, or until nobody could tell in time. It is nil if the client has gone before that.
func (m *steeredSource) resolve(ctx context.Context, d *departure.Departure, absent *libvirtrpc.Error) *libvirtrpc.Reply {
	switch d.Await(ctx) {
	case departure.Runs:
		m.done()
		return &libvirtrpc.Reply{Body: (&libvirtrpc.Finished{
			Domain: libvirtrpc.Domain{Name: m.guest.name, UUID: m.guest.id, ID: libvirtrpc.NoID},
		}).Encode()}
	case departure.Absent:
		return &libvirtrpc.Reply{Err: absent}
	}
	m.unsettled()
	if ctx.Err() != nil {
		return nil
	}
	return &libvirtrpc.Reply{Grace: resumeInVain, Err: libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice: nobody can tell whether guest %s runs on %s; on %s it stays stopped, so that it does not run twice: `sluice status` there says what to do", m.guest.name, m.session.Peer, m.gateway.Config.Name)}
}

// resumeInVain is more than libvirt here takes to resume a guest that it can't: it waits for its turn
// half a minute each, to resume it and to undo the migration's settings (VIR_JOB_WAIT_TIME). If its
// connection were closed before that, it would tell of that in place of the reason.
const resumeInVain = 2 * time.Minute

// unsettled notes that nobody could tell what became of the guest.
func (m *steeredSource) unsettled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcome = control.Unknown
}

// done ends the session of a guest that runs at the destination.
func (m *steeredSource) done() {
	m.mu.Lock()
	m.outcome = control.Moved
	if m.ended {
		m.log.Warn().Msg("the guest runs at the destination, although its session had failed before")
	}
	m.mu.Unlock()
	m.session.Finish()
}

// fail ends the session, unless it has ended.
func (m *steeredSource) fail(code, text string) {
	m.session.Fail(&stream.Cause{Code: code, Text: text})
}

// split says whether a part of the guest is on each host.
func (m *steeredSource) split() bool {
	return m.transfer.Postcopy() && m.gateway.Libvirt.InPostcopy(m.guest.id)
}

// lost ends what the client's connection leaves behind.
func (m *steeredSource) lost(cause *stream.Cause) {
	text := "the libvirt client's connection ended before the migration did"
	if cause != nil && !cause.Done() {
		text += fmt.Sprintf(": %v", cause)
	}
	m.fail(stream.CodeCancelled, text)
	d, known := m.leaving()
	if d != nil {
		d.CallerGone()
	}
	if known != nil {
		known()
	}
	<-m.over
}
