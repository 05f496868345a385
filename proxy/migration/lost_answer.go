package migration

import (
	"context"
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

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
