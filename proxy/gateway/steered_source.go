package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
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
	gateway   *Gateway
	entry     *session.Entry
	log       zerolog.Logger
	session   *stream.Session
	transfer  transfer.Transfer
	guest     guest
	dir       rundir.SessionDir
	opener    *stream.Opener
	listeners qemuListeners
	over      chan struct{} // closed when nothing of it is left

	mu      sync.Mutex
	moved   bool
	decided chan struct{} // nil before Finish; closed once it is known what became of the guest
	ended   bool          // without a Finish
	known   func()        // closes decided; nil before Finish
}

// steer opens the session of a migration to p. What it opened is gone again
// when it fails. id is the session's; told is as doors have it.
func (gw *Gateway) steer(ctx context.Context, p *peer.Peer, id string, g guest, t transfer.Transfer, told bool) (*steeredSource, error) {
	if !stream.ValidID(id) { // it becomes the name of a folder
		return nil, fmt.Errorf("%.40q is no session ID", id)
	}
	info := stream.Info{
		ID:      id,
		Work:    session.WorkSteered,
		Guest:   g.name,
		UUID:    g.uuid,
		Peer:    p.Name,
		Address: p.Conf.Address,
		Clear:   t.Steered && gw.TLSDefault(p) == control.No,
	}
	if info.Clear {
		t.By = session.ByNothing
	}
	m := &steeredSource{gateway: gw, transfer: t, guest: g, opener: gw.Opener(p), over: make(chan struct{})}
	var err error
	if m.entry, err = gw.Sessions.Add(info, control.Outgoing); err != nil {
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
	if t.Postcopy() { // when it begins only libvirt here is told
		m.session.Unbound()
	}
	m.entry.SetPhase(control.PhasePrepare)
	m.log.Info().Msg("session opened")
	m.listeners = qemuListeners{gateway: gw, session: m.session, guest: g.id, log: m.log}
	if t.Steered {
		err = m.listeners.listen(m.dir, t.Disks(), told)
	}
	gw.Work.Go(m.wait)
	if err != nil {
		m.fail(stream.CodeLocal, err.Error())
		<-m.over
		return nil, err
	}
	return m, nil
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
	moved := m.moved
	m.mu.Unlock()
	m.gateway.Sessions.EndMigration(m.entry, m.log, moved, cause)
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

// prepare is what becomes of the client's Prepare: it goes on with the
// session's name, and comes back with the way to the session's doors, or has
// failed.
func (m *steeredSource) prepare(call *libvirtrpc.Prepare, failed func()) libvirtrpc.Outcome {
	call.Params = call.Params.With(paramSession, m.session.ID)
	return libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		if r.Err != nil {
			failed()
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

// point points the source's libvirt to the session's doors.
func (m *steeredSource) point(r *libvirtrpc.Reply) error {
	if !m.transfer.Steered {
		return nil
	}
	prepared, err := libvirtrpc.DecodePrepared(r.Body)
	if err != nil {
		return err
	}
	prepared.URI = &m.listeners.uri
	if m.listeners.diskPort != 0 {
		var is bool
		prepared.Cookie, is, err = libvirtrpc.SetNBDPort(prepared.Cookie, m.listeners.diskPort)
		if err != nil {
			return err
		}
		if !is {
			m.log.Info().Msg("the destination takes no disks, though the flags say so")
		}
	}
	r.Body = prepared.Encode()
	return nil
}

// finish is what becomes of the client's Finish: the reply ends the session.
func (m *steeredSource) finish(call *libvirtrpc.Finish) libvirtrpc.Outcome {
	m.entry.SetPhase(control.PhaseFinish)
	cancelled := call.Cancelled != 0
	o := libvirtrpc.Outcome{Body: call.Encode()}
	known := func() {}
	if !cancelled {
		decided := make(chan struct{})
		known = sync.OnceFunc(func() { close(decided) })
		m.mu.Lock()
		m.decided, m.known = decided, known
		m.mu.Unlock()
		o.Lost = func(ctx context.Context) *libvirtrpc.Reply {
			defer known()
			return m.resolve(ctx)
		}
		o.Await = func() time.Duration {
			if m.split() {
				return 0
			}
			return m.gateway.Config.Limits.FinishTimeout
		}
	}
	o.Reply = func(r *libvirtrpc.Reply) {
		defer known()
		switch {
		case cancelled:
			m.fail(stream.CodeCancelled, "libvirt at the source gave the migration up")
		case r.Err != nil:
			m.fail(stream.CodeLibvirt, virt.Words("taking the guest over", r.Err))
		default:
			m.done()
		}
	}
	return o
}

// done ends the session of a guest that runs at the destination.
func (m *steeredSource) done() {
	m.mu.Lock()
	m.moved = true
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

// resolve finds out what became of the guest when the answer to Finish was
// lost. Left to itself libvirt here would take that for a failure and resume
// the guest, which may run at the destination. As long as it waits, the guest
// is paused: so it waits until somebody can tell, or its user gives up. A
// post-copy that broke is libvirt's to keep.
func (m *steeredSource) resolve(ctx context.Context) *libvirtrpc.Reply {
	if m.split() {
		return nil
	}
	m.fail(stream.CodeLink, "the connection of libvirt's client broke while the guest was being taken over")
	cause := m.session.Wait()
	m.log.Warn().Err(cause).Msg("the answer to Finish was lost; asking what became of the guest")
	ask := func(ctx context.Context) (*arrival.OutcomeReply, error) {
		reply := new(arrival.OutcomeReply)
		return reply, m.opener.Ask(ctx, arrival.AskOutcome, &arrival.OutcomeAsk{Session: m.session.ID, UUID: m.guest.uuid}, reply)
	}
	var answer *libvirtrpc.Reply
	decided := arrival.AwaitOutcome(ctx, ask, func(reply *arrival.OutcomeReply, err error) bool {
		switch {
		case err == nil && reply.Outcome == arrival.OutcomeRuns:
			m.done()
			m.log.Info().Msg("the guest runs at the destination")
			answer = &libvirtrpc.Reply{Body: (&libvirtrpc.Finished{
				Domain: libvirtrpc.Domain{Name: m.guest.name, UUID: m.guest.id, ID: libvirtrpc.NoID},
			}).Encode()}
		case err == nil && reply.Outcome == arrival.OutcomeAbsent:
			m.log.Info().Msg("the guest is not at the destination")
			answer = &libvirtrpc.Reply{Err: libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice: %v; the guest is not there", cause)}
		case err == nil:
			m.log.Warn().Str("state", reply.State).Msg("it is not decided yet")
		default:
			m.log.Warn().Err(err).Msg("no answer yet")
		}
		return answer != nil || m.split()
	})
	if !decided {
		m.log.Error().Msg("libvirt's client has gone before anyone could tell what became of the guest: look at both hosts, it may run on both")
	}
	return answer
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
	m.mu.Lock()
	known := m.known
	m.mu.Unlock()
	if known != nil {
		known()
	}
	<-m.over
}
