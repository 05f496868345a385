package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// finish is Finish there and Confirm here. From here on no one can call it off: the destination's
// libvirt decides, and the source only lets go of the guest, or takes it back, on a certain answer.
func (m *outgoing) finish() *control.Result {
	phase := control.PhaseFinish
	m.noCancel()
	if m.postcopy {
		phase = control.PhasePost
	} else if err := m.depart(); err != nil {
		m.confirm(true)
		return m.failed(context.Background(), err)
	}
	m.progress(phase)
	reply, err := m.callFinish()
	// What is left is the source's own cookie, and libvirt refuses that:
	// "Attempt to migrate guest to the same host".
	m.cookie = nil
	switch {
	case err == nil && reply.Undecided == "":
		m.cookie, m.downtime = reply.Cookie, time.Duration(reply.Downtime)
		if m.departure != nil {
			m.departure.Answered(departure.Runs)
		}
		return m.moved()
	case err == nil:
		return m.resolve(&stream.Cause{Code: stream.CodeLibvirt, Host: m.peer.Name, Text: stream.Printable(reply.Undecided)})
	case m.answered(err):
		// libvirt over there has failed and holds no guest.
		if m.departure != nil {
			m.departure.Answered(departure.Absent)
		}
		return m.back(err)
	}
	return m.resolve(err)
}

// depart has it settled what becomes of the guest, also after this daemon or libvirtd was killed.
// libvirt here keeps it paused until Confirm, so it needs no fence.
func (m *outgoing) depart() (err error) {
	_, without := m.session.(*withoutSluice)
	m.departure, err = m.host.Departures.Begin(context.Background(), departure.Move{
		UUID:     m.dom.UUID,
		Session:  m.info.ID,
		Peer:     m.peer.Name,
		Undefine: m.req.UndefineSource, WithoutSluice: without,
		HungUp: func() bool {
			select {
			case <-m.virt.Gone():
				return true
			default:
				return false
			}
		},
		Ask: func(ctx context.Context) (departure.Answer, error) {
			reply, err := m.session.outcome(ctx)
			if err != nil {
				return departure.Answer{}, err
			}
			return departure.AnswerOf(reply.Outcome, stream.Printable(reply.State)), nil
		},
		Log: m.log,
	})
	return err
}

// back takes back a guest that is not at the destination.
func (m *outgoing) back(failure error) *control.Result {
	m.confirm(true)
	m.settle()
	return m.failed(context.Background(), failure)
}

// settle waits until nothing is left to do here for a guest of which it is known where it runs, and
// says whether that is so: libvirt here may have been killed, and be a while in coming back. Once
// QEMU here is ended, libvirt has only to notice.
func (m *outgoing) settle() bool {
	if m.departure == nil {
		return true
	}
	m.departure.CallerGone()
	patience := time.NewTimer(m.host.Config.Limits.GiveUpTimeout)
	defer patience.Stop()
	select {
	case <-m.departure.Over():
		return true
	case <-patience.C:
		return m.departure.Status().Ended
	}
}

// callFinish waits for the destination, however long post-copy takes.
func (m *outgoing) callFinish() (*arrival.FinishReply, error) {
	type answer struct {
		reply arrival.FinishReply
		err   error
	}
	ctx, cancel := context.Background(), func() {}
	if !m.postcopy {
		// The peer has the same limit, and answers that it has passed.
		limit := m.host.Config.Limits.FinishTimeout + m.host.Config.Limits.GiveUpTimeout + 5*time.Second
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s did not answer within %v (limits.finish_timeout)", m.peer.Name, limit))
	}
	defer cancel()
	done := make(chan answer, 1)
	go func() {
		var a answer
		a.err = m.session.Call(ctx, arrival.CallFinish, &arrival.FinishCall{Cookie: m.cookie, Postcopy: m.postcopy}, &a.reply)
		done <- a
	}()
	if !m.postcopy {
		a := <-done
		return &a.reply, a.err
	}
	_, stop := m.follow()
	defer stop()
	again := time.NewTicker(reportInterval)
	defer again.Stop()
	for {
		select {
		case a := <-done:
			return &a.reply, a.err
		case <-again.C:
			m.progress(control.PhasePost)
		}
	}
}

// answered says whether err is the peer's answer to a call, and not the end of
// the session or of patience.
func (m *outgoing) answered(err error) bool {
	var c *stream.Cause
	if !errors.As(err, &c) {
		return false
	}
	select {
	case <-m.session.Context().Done():
		return !errors.Is(err, context.Cause(m.session.Context()))
	default:
		return true
	}
}

// moved lets go of the guest here.
func (m *outgoing) moved() *control.Result {
	m.progress(control.PhaseConfirm)
	result := &control.Result{Outcome: control.Moved, Message: m.movedWords()}
	// Settled first: Confirm ends QEMU here, and how its sockets break then is no failure any more.
	m.session.Finish()
	<-m.session.Settled()
	err := m.confirm(false)
	settled := m.settle()
	if err != nil && (m.departure == nil || !settled) {
		result.Outcome = control.Unknown
		result.Cause = m.libvirtCause("letting go of the guest", err).Error()
		result.Message += fmt.Sprintf("; %s could not let go of its own, which is paused", m.host.Config.Name)
		if m.departure == nil {
			result.Message += fmt.Sprintf(": end it there with `virsh destroy %s`", m.dom.Name)
		} else {
			result.Message += ", and is ended as soon as libvirt there answers"
		}
	}
	if cause := m.session.Wait(); !cause.Done() {
		m.log.Warn().Str("cause", cause.Error()).Msg("the session broke after the guest had moved")
	}
	return result
}

// movedWords say where the guest is once it has moved.
func (m *outgoing) movedWords() string {
	words := fmt.Sprintf("guest %s runs on %s", m.dom.Name, m.peer.Name)
	if m.req.Suspend {
		words = fmt.Sprintf("guest %s is on %s, paused (--suspend): `virsh resume %s` there", m.dom.Name, m.peer.Name, m.nameThere())
	}
	if m.nameThere() != m.dom.Name {
		words += ", as " + m.nameThere()
	}
	return words
}

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

// confirm is libvirt's last word at the source: the guest has left, or stays.
func (m *outgoing) confirm(cancelled bool) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), m.host.Config.Limits.FinishTimeout,
		fmt.Errorf("libvirt did not answer within %v (limits.finish_timeout)", m.host.Config.Limits.FinishTimeout))
	defer cancel()
	var flag int32
	if cancelled {
		flag = 1
	}
	return m.virt.Bound(ctx, func() error {
		return m.virt.DomainMigrateConfirm3Params(m.dom, m.params, m.cookie, uint32(m.flags), flag)
	})
}

// resolve finds out what became of the guest when the answer to Finish was lost. Nobody can resume
// it here meanwhile. Without a certain answer it stays so: one that has run twice is lost.
func (m *outgoing) resolve(failure error) *control.Result {
	m.log.Warn().Err(failure).Msg("the answer to Finish was lost; asking what became of the guest")
	m.session.Fail(session.CauseOf(failure))
	if known := m.session.Wait(); !known.Done() { // to both hosts, and maybe before this
		failure = known
	}
	m.entry.Decided("the answer to Finish was lost (%v): the guest stays paused here, and %s is asked what became of it", failure, m.peer.Name)
	if m.departure == nil {
		return m.resolvePostcopy(failure)
	}
	switch m.departure.AwaitInTime(context.Background()) {
	case departure.Runs:
		result := m.moved()
		result.Cause = failure.Error()
		return result
	case departure.Absent:
		return m.back(failure)
	}
	m.departure.CallerGone()
	here, there, name := m.host.Config.Name, m.peer.Name, m.dom.Name
	m.code = session.CauseOf(failure).Code
	result := &control.Result{Outcome: control.Unknown, Cause: failure.Error(),
		Message: fmt.Sprintf("no one can tell whether guest %s runs on %s (%s). ", name, there, m.departure.Status().Last)}
	result.Message += fmt.Sprintf("On %s it is paused, so that it does not run twice, and sluice goes on asking. If %s can't come back, look there, then on %s: `sluice resolve %s --there` if it runs there, `sluice resolve %s --here` if it does not and never will", here, there, here, name, name)
	return result
}

// resolvePostcopy is resolve for a guest that was switched to post-copy.
func (m *outgoing) resolvePostcopy(failure error) *control.Result {
	limit := m.host.Config.Limits.FinishTimeout + m.host.Config.Limits.GiveUpTimeout
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	last := fmt.Sprintf("%s did not answer for %v", m.peer.Name, limit)
	var result *control.Result
	arrival.AwaitOutcome(ctx, m.session.outcome, func(reply *arrival.OutcomeReply, err error) bool {
		switch {
		case err == nil && reply.Outcome == arrival.OutcomeRuns:
			result = m.moved()
			result.Cause = failure.Error()
		case err == nil && (reply.Outcome == arrival.OutcomeAbsent || reply.Gone):
			result = m.torn(failure)
		case err == nil:
			last = fmt.Sprintf("on %s it is %s", m.peer.Name, stream.Printable(reply.State))
		case ctx.Err() == nil:
			last = err.Error()
		}
		return result != nil || err == nil // a broken post-copy does not mend by itself
	})
	if result != nil {
		return result
	}
	m.confirm(true) // libvirt then holds it as a post-copy that can be resumed
	return m.lost(fmt.Errorf("%w; %s", failure, last))
}

// split says whether the guest is in post-copy by now, with a part of it on each host. That QEMU
// was told to switch does not mean that it has, and others than we can tell it to.
func (m *outgoing) split() bool {
	if m.flags&libvirt.MigratePostcopy == 0 {
		return false
	}
	state, err := m.stateHere(nil)
	return err == nil && state.InPostcopy() || err != nil && m.postcopy
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

// lost is the result of a post-copy that broke: each host has a part of the guest.
func (m *outgoing) lost(failure error) *control.Result {
	if m.session != nil {
		m.session.Fail(session.CauseOf(failure))
		m.session.Wait()
	}
	m.code = session.CauseOf(failure).Code
	return &control.Result{
		Outcome: control.Unknown,
		Cause:   failure.Error(),
		Message: fmt.Sprintf("post-copy is broken: guest %s is paused, with its state on %s and a part of its memory on %s alone. Destroy neither. When the hosts reach each other again: `sluice migrate --postcopy-resume%s %s %s`",
			m.dom.Name, m.peer.Name, m.host.Config.Name, m.definitionFlags(), m.dom.Name, m.peer.Name),
	}
}

// definitionFlags are those of the caller's that whoever goes on with the migration has to repeat:
// without them libvirt there looks for the guest by its old name, or libvirt here keeps its
// definition.
func (m *outgoing) definitionFlags() (flags string) {
	if m.req.Name != "" {
		flags += " --dname " + m.req.Name
	}
	if m.req.Persistent {
		flags += " --persistent"
	}
	if m.req.PersistentXML != "" {
		flags += " --persistent-xml FILE"
	}
	if m.req.UndefineSource {
		flags += " --undefinesource"
	}
	return flags
}

// torn is the result of a post-copy of which the destination has nothing any more: QEMU there has
// ended, be it at the very switch, with the guest's devices on their way, while QEMU here holds all
// else and knows no way back. The bytes in flight at that moment decide; no relay can make QEMU wait
// for them.
func (m *outgoing) torn(failure error) *control.Result {
	m.confirm(true)
	m.code = session.CauseOf(failure).Code
	return &control.Result{
		Outcome: control.Unknown,
		Cause:   failure.Error(),
		Message: fmt.Sprintf("post-copy is broken, and %s has nothing of guest %s any more; QEMU on %s can't take it back. Save what its memory may be needed for (`virsh dump --memory-only`), then start it anew: `virsh destroy %s`, `virsh start %s`",
			m.peer.Name, m.dom.Name, m.host.Config.Name, m.dom.Name, m.dom.Name),
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
