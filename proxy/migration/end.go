package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// giveUp follows a Perform that failed: libvirt here has ended its job and taken the guest back
// already, and the destination destroys its half. A guest that had been switched to post-copy has
// left: the destination then takes what it has, so that the post-copy can be resumed.
func (m *outgoing) giveUp(ctx context.Context, failure error) *control.Result {
	if m.split() {
		m.postcopy = true
		return m.finish()
	}
	limit, cancel := context.WithTimeout(context.Background(), m.host.Config.Limits.GiveUpTimeout)
	defer cancel()
	err := m.session.Call(limit, arrival.CallFinish, &arrival.FinishCall{Cookie: m.cookie, Cancelled: true}, nil)
	// The destination's QEMU may have died first, and its libvirt knows why.
	if m.asked == nil && err != nil && m.answered(err) {
		both := *session.CauseOf(failure)
		both.Text += "; " + err.Error()
		failure = &both
	}
	return m.failed(ctx, failure)
}

// stateAgain is how often libvirt is asked again that did not answer.
const stateAgain = 200 * time.Millisecond

// stateHere asks libvirt here for the guest's state, and again for limits.give_up_timeout: libvirtd,
// or a part of it, may be starting again at this moment. passing, if set, says of a state that libvirt
// is about to change it, so that it is asked again as well.
func (m *outgoing) stateHere(passing func(virt.State) bool) (state virt.State, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), m.host.Config.Limits.GiveUpTimeout)
	defer cancel()
	again := time.NewTicker(stateAgain)
	defer again.Stop()
	for first := true; ; first = false {
		asked, failed := m.host.Libvirt.State(ctx, m.dom.UUID)
		if first || ctx.Err() == nil { // else what is known says more
			state, err = asked, failed
		}
		if err == nil && (passing == nil || !passing(state)) {
			return state, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return state, err
		}
	}
}

// failed ends the session for a failure, or for the caller's wish, and says
// where the guest is: as libvirt tells it now.
func (m *outgoing) failed(ctx context.Context, failure error) *control.Result {
	if m.split() {
		return m.lost(failure)
	}
	result := &control.Result{Outcome: control.Failed}
	cause := session.CauseOf(failure)
	switch {
	case m.asked != nil:
		cause = m.asked
	case ctx.Err() != nil:
		cause = m.called(ctx)
	}
	if ctx.Err() != nil || cause.Code == stream.CodeCancelled {
		result.Outcome = control.Cancelled
	}
	said := "" // by libvirt here, besides the cause
	if m.session != nil {
		m.session.Fail(cause)
		// The session may have ended before, and for the reason behind this. Both
		// hosts show that one, as it is.
		if first := m.session.Wait(); first != cause && !first.Done() {
			if cause.Code == stream.CodeLibvirt && first.Text != cause.Text {
				said = " (" + cause.Error() + ")"
			}
			cause = first
		}
	}
	m.code, result.Cause = cause.Code, cause.Error()
	where, unsure := m.atSource()
	if unsure {
		result.Outcome = control.Unknown
	}
	result.Message = fmt.Sprintf("%s. %s%s", where, result.Cause, said)
	return result
}

// called is the cause when the caller's context has ended.
func (m *outgoing) called(ctx context.Context) *stream.Cause {
	if errors.Is(context.Cause(ctx), session.ErrStopping) {
		return &stream.Cause{Code: stream.CodeShutdown, Host: m.host.Config.Name, Text: session.ErrStopping.Text}
	}
	var why *stream.Cause // of another caller's
	if errors.As(context.Cause(ctx), &why) {
		return why
	}
	return &stream.Cause{Code: stream.CodeCancelled, Host: m.host.Config.Name, Text: "the caller cancelled the migration"}
}

// atSource says in words where libvirt has a guest that is not at the destination, and whether it
// can't tell. That a guest has ended here, or was ended by its user, is certain.
func (m *outgoing) atSource() (words string, unsure bool) {
	// libvirt takes the guest back by itself, a moment after its job has failed.
	state, err := m.stateHere(virt.State.PausedForMigration)
	switch {
	case err != nil:
		return fmt.Sprintf("guest %s was left on %s, whose libvirt does not answer (%v)", m.dom.Name, m.host.Config.Name, err), true
	case m.req.Offline:
		return fmt.Sprintf("guest %s is on %s as it was", m.dom.Name, m.host.Config.Name), false
	case state.Absent:
		return fmt.Sprintf("guest %s has ended on %s, and is not on %s", m.dom.Name, m.host.Config.Name, m.peer.Name), false
	case state.Running():
		return fmt.Sprintf("guest %s goes on running on %s", m.dom.Name, m.host.Config.Name), false
	}
	words = fmt.Sprintf("guest %s is on %s, %v", m.dom.Name, m.host.Config.Name, state)
	if !m.paused && m.begun {
		words += fmt.Sprintf(": `virsh resume %s` there", m.dom.Name)
	}
	return words, false
}

// finishResult fills in what every result has, and ends the entry.
func (m *outgoing) finishResult(r *control.Result) {
	st := m.entry.Status()
	r.Session, r.Guest, r.UUID = m.info.ID, m.dom.Name, m.info.UUID
	r.Source, r.Destination = m.host.Config.Name, m.peer.Name
	r.Carried, r.Channels = st.Sent+st.Received, len(st.Channels)
	r.Path, r.TLS, r.Suite, r.Group = st.Path, st.TLS, st.Suite, st.Group
	r.Warnings, r.Decisions = m.warnings, m.entry.Decisions()
	switch {
	case len(m.made) == 0:
	case r.Outcome == control.Failed || r.Outcome == control.Cancelled:
		m.entry.MadeDisks(nil)
		r.Message += fmt.Sprintf(". %s removes the disks that it has made", m.peer.Name)
	default:
		r.DisksMade = m.made
	}
	r.Elapsed, r.Downtime = time.Since(m.started), m.downtime
	if r.Outcome == control.Moved {
		m.entry.SetPhase(control.PhaseDone)
	}
	m.entry.Downtime(r.Downtime)
	for _, text := range r.Warnings {
		m.entry.Warned("%s", text)
	}
	m.host.Sessions.End(m.entry, r.Outcome, m.code, r.Cause)
	event := m.log.Info()
	if r.Outcome != control.Moved {
		event = m.log.Warn().Str("cause", r.Cause)
	}
	event.Str("outcome", r.Outcome).Uint64("bytes", r.Carried).Dur("elapsed", r.Elapsed).Msg(r.Message)
}
