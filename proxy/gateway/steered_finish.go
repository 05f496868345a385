package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// finish is what becomes of the client's Finish: the reply ends the session. cut ends the way
// of the reply.
func (m *steeredSource) finish(ctx context.Context, call *libvirtrpc.Finish, caller caller, cut func(*stream.Cause)) outcome {
	o := libvirtrpc.Outcome{Body: call.Encode()}
	if call.Cancelled != 0 {
		o.Reply = func(*libvirtrpc.Reply) {
			m.givenUp(stream.CodeCancelled, "libvirt at the source gave the migration up")
		}
		return outcome{o}
	}
	known, err := m.undecided()
	if err != nil {
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	defer m.entry.SetPhase(control.PhaseFinish)                    // once it goes on
	if m.split() || m.transfer.Flags&libvirt.MigrateOffline != 0 { // libvirt's to keep, and not to run here
		o.Lost = func(ctx context.Context) *libvirtrpc.Reply {
			defer known()
			return m.resolveSplit(ctx)
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
	o.Replied = d.Replied
	o.Lost = func(ctx context.Context) *libvirtrpc.Reply {
		defer known()
		m.fail(stream.CodeLink, "the connection of libvirt's client broke while the guest was being taken over")
		cause := m.session.Wait()
		return m.resolve(ctx, d, libvirtrpc.Errorf(libvirtrpc.ErrOperationInvalid, "sluice: %v; the guest is not there", cause))
	}
	return outcome{o}
}

// resolveSplit asks the destination what became of a guest in post-copy when the answer to Finish was
// lost, once all of its pages have gone: until then a part of it is here alone, and its session must
// last. It is nil where nobody says that the guest runs there whole: what became of it is not known
// then, and libvirt here keeps it as a post-copy that can be resumed.
func (m *steeredSource) resolveSplit(ctx context.Context) (reply *libvirtrpc.Reply) {
	if !m.transfer.Postcopy() {
		return nil
	}
	defer func() {
		if reply == nil {
			m.unsettled()
		}
	}()
	for _, c := range m.session.Channels() {
		select {
		case <-c.Ended():
		case <-m.session.Settled():
		case <-ctx.Done():
			return nil
		}
	}
	m.session.Finish()
	sent := m.session.Wait().Done() // else it was broken off, which does not mend by itself
	limit := m.gateway.Config.Limits.GiveUpTimeout
	if sent {
		limit += m.gateway.Config.Limits.FinishTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		answer, err := m.gateway.Departures.Ask(ctx, m.session.Peer, m.session.ID, m.guest.uuid)
		switch {
		case err != nil:
			m.log.Warn().Err(err).Msg("the answer to Finish was lost, and nobody says yet what became of the guest")
		case answer.Verdict == departure.Runs:
			m.done()
			return &libvirtrpc.Reply{Body: finishedBody(m.guest)}
		case !sent:
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
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
		move.Fence, move.HungUp, move.Ended, move.Taken = true, caller.hungUp, caller.ended, caller.taken
	}
	m.unfollow(ctx)
	d, err := m.gateway.Departures.Begin(ctx, move)
	if err == nil {
		m.mu.Lock()
		m.departure = d
		m.mu.Unlock()
	}
	return d, err
}

// unfollow has libvirt here asked nothing more of QEMU. A query that a stopped QEMU does not answer
// keeps libvirt from ending it by Confirm: libvirt fails half a minute later (VIR_JOB_WAIT_TIME).
func (m *steeredSource) unfollow(ctx context.Context) {
	m.hold()
	ctx, cancel := context.WithTimeout(ctx, abortTimeout)
	defer cancel()
	select {
	case <-m.followed:
	case <-ctx.Done(): // libvirt hangs anyway
	}
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
		return &libvirtrpc.Reply{Body: finishedBody(m.guest)}
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
