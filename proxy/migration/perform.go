package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// perform is libvirt's Perform: it lasts until all memory has been sent, or until the guest has
// been switched to post-copy. Meanwhile the caller, the session's end and the timeout may abort it.
func (m *outgoing) perform(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		defer m.host.Peers.Turn()() // it has one of libvirt's workers until the guest has moved
		var err error
		m.cookie, err = m.virt.DomainMigratePerform3Params(m.dom, nil, m.params, m.cookie, m.flags)
		done <- err
	}()
	m.entry.SetPhase(m.phase()) // it may be over before it is reported
	stats, stop := m.follow()
	defer stop()
	again := time.NewTicker(reportInterval)
	defer again.Stop()
	m.switchPoll = time.NewTicker(switchInterval)
	m.switchPoll.Stop() // until there is a switch to wait for
	defer m.switchPoll.Stop()
	var timeout <-chan time.Time
	if m.req.Timeout > 0 {
		t := time.NewTimer(time.Duration(m.req.Timeout) * time.Second)
		defer t.Stop()
		timeout = t.C
	}
	var latest virt.JobStats
	var deadline <-chan time.Time
	if m.goal != nil && m.goal.Deadline > 0 {
		t := time.NewTimer(time.Until(m.started.Add(m.goal.Deadline)))
		defer t.Stop()
		deadline = t.C
	}
	cancelled, settled := ctx.Done(), m.session.Settled()
	var timedOut bool
	var patience <-chan time.Time // with libvirt, once the job is to end
	for {
		select {
		case err := <-done:
			if err != nil {
				err = m.virt.Bound(context.Background(), func() error { return err })
				if m.asked == nil && m.aborted(err) { // by another client of libvirt's
					m.asked = &stream.Cause{Code: stream.CodeCancelled, Host: m.host.Config.Name, Text: "the migration was cancelled through libvirt, as `virsh domjobabort` does"}
					m.session.Fail(m.asked)
					return m.asked
				}
				cause := m.libvirtCause("sending the guest", err)
				if errors.Is(err, virt.ErrGone) {
					m.session.Fail(cause) // before anything breaks for it
				}
				return cause
			}
			m.postcopy = m.split() // by whosever wish
			return nil
		case st := <-stats:
			m.notePostcopy() // others than we can switch it, too
			m.intervene(st, timedOut)
			latest = st
			m.decide(st)
		case <-deadline:
			m.decide(latest)
		case <-m.switchPoll.C:
			m.notePostcopy()
		case <-again.C:
			m.progress(m.phase())
		case <-timeout:
			timedOut = true
			m.intervene(virt.JobStats{}, true)
		case <-cancelled:
			cancelled = nil
			m.abort(m.called(ctx))
		case <-settled:
			settled = nil
			m.abort(session.CauseOf(context.Cause(m.session.Context())))
			// QEMU's sockets are closed, so the job can't but end.
			patience = time.After(abortTimeout)
		case <-patience:
			m.log.Error().Stringer("after", abortTimeout).Msg("libvirt does not end the migration job; its connection is closed")
			m.virt.Close()
		}
	}
}

// phase is what a running Perform is at.
func (m *outgoing) phase() string {
	if m.postcopy {
		return control.PhasePost
	}
	return control.PhaseMemory // or disks, by libvirt's figures
}

// abortTimeout is what libvirt may take to end Perform once the session has
// ended, before its connection is given up.
const abortTimeout = 2 * time.Minute

// intervene does what is due at this moment. libvirt refuses what comes too
// early or too late; what is still due is tried again with the next figures.
func (m *outgoing) intervene(st virt.JobStats, timedOut bool) {
	switch {
	case m.postcopy:
	case m.asked != nil:
		m.abort(m.asked) // libvirt had no job to abort yet, or is at it
	case m.req.TimeoutAction == control.TimeoutPostCopy:
		if timedOut && !m.switching {
			m.switchOver("--timeout has passed (--timeout-postcopy)")
		}
	case timedOut && m.req.TimeoutAction != control.TimeoutSuspend:
		m.abort(&stream.Cause{Code: stream.CodeTimeout, Host: m.host.Config.Name, Text: fmt.Sprintf("it took longer than %d seconds (--timeout)", m.req.Timeout)})
	case m.req.PostCopy && st.Iteration >= 2 && !m.switching:
		// The first pass has sent every page once: the rest follows on demand.
		m.switchOver("the first pass over memory is done (--postcopy)")
	case timedOut && !m.suspended:
		if m.watch.Call(context.Background(), func(v *virt.Conn) error { return v.DomainSuspend(m.dom) }) == nil {
			m.suspended = true
			m.entry.Limited("--timeout (%d seconds): the guest is paused until it has moved (--timeout-suspend)", m.req.Timeout)
			m.log.Warn().Msg("timeout: the guest is suspended until it has moved")
		}
	}
}

// switchOver asks for post-copy. QEMU switches when its stream lets it, and may never: until libvirt
// says that it has, the migration can be cancelled, and its limits hold. After an error the session
// ends, or the next figures bring us back.
func (m *outgoing) switchOver(why string) error {
	ctx, cancel := context.WithTimeout(context.Background(), virt.LazyTimeout)
	defer cancel()
	if err := m.session.Call(ctx, arrival.CallPostcopy, nil, nil); err != nil {
		return err
	}
	if err := m.watch.Call(context.Background(), func(v *virt.Conn) error { return v.DomainMigrateStartPostCopy(m.dom, 0) }); err != nil {
		return err
	}
	m.switching = true
	m.switchPoll.Reset(switchInterval)
	m.entry.Decided("QEMU is asked to switch to post-copy: %s", why)
	m.log.Info().Str("why", why).Msg("QEMU is asked to switch to post-copy")
	return nil
}

// switchInterval is how often libvirt is asked whether QEMU has switched, once it was asked to. For
// so long a page that the guest waits for may be held back by the session's bandwidth.
const switchInterval = 50 * time.Millisecond

// notePostcopy asks libvirt whether the guest has been switched to post-copy. From then on no page
// is held back, and no limit ends the session: the guest would stop.
func (m *outgoing) notePostcopy() {
	if m.postcopy || m.flags&libvirt.MigratePostcopy == 0 {
		return
	}
	var state virt.State
	err := m.watch.Call(context.Background(), func(v *virt.Conn) (err error) {
		state, err = v.State(context.Background(), m.dom.UUID)
		return err
	})
	if err != nil || !state.InPostcopy() {
		return
	}
	m.postcopy = true
	m.switchPoll.Stop()
	m.noCancel()
	m.session.Unbound()
	m.entry.Decided("switched to post-copy: no limit of time, bytes or bandwidth holds any more")
	m.log.Info().Msg("switched to post-copy")
}

// abort ends the session and asks libvirt to end the job. The session comes first: else the way in
// which the destination's QEMU breaks down could be taken for the cause. But while QEMU may switch
// to post-copy at any moment, it is QEMU that decides which of the two it does. A guest in post-copy
// has left already.
func (m *outgoing) abort(why *stream.Cause) {
	if m.postcopy = m.postcopy || m.split(); m.postcopy { // by whosever wish
		m.log.Warn().Err(why).Msg("not aborted: the guest runs at the destination already")
		m.entry.Decided("not aborted, since the guest runs at the destination already: %v", why)
		return
	}
	asked := m.asked
	if asked == nil {
		m.asked = why
		m.entry.Decided("aborted: %v", why)
	}
	if asked == nil && !m.switching {
		m.session.Fail(why)
	}
	err := m.watch.Call(context.Background(), func(v *virt.Conn) error { return v.DomainAbortJob(m.dom) })
	if err == nil && m.switching {
		m.session.Fail(m.asked)
	}
}

// follow asks libvirt for its figures until stop. Of those that nobody takes in time the latest is
// kept.
func (m *outgoing) follow() (figures <-chan virt.JobStats, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	latest, done := make(chan virt.JobStats, 1), make(chan struct{})
	go func() {
		defer close(done)
		m.host.FollowJob(ctx, host.Job{Guest: m.dom, Entry: m.entry, Tell: m.session.Call, Look: m.followSpeed, Every: m.lookInterval(), Each: func(st virt.JobStats) {
			select {
			case <-latest:
			default:
			}
			latest <- st
		}})
	}()
	return latest, func() {
		cancel()
		<-done
	}
}

// reportInterval is how often the caller is told how far it is.
const reportInterval = 500 * time.Millisecond

// progress tells the caller, and status, how far it is.
func (m *outgoing) progress(phase string) {
	m.entry.SetPhase(phase)
	m.report(m.entry.Progress())
}
