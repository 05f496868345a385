package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
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
