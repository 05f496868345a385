package migration

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// finishOffline is Finish there and Confirm here for a definition that moves alone. There is no
// Perform, as in libvirt's client library. Nothing runs by it, and nothing was stopped for it: where
// no one can tell whether it has come, the one here stays, and there is no guest that could be lost.
func (m *outgoing) finishOffline() *control.Result {
	m.noCancel()
	m.cookie = nil
	m.progress(control.PhaseFinish)
	reply, err := m.callFinish()
	switch {
	case err == nil && reply.Undecided == "":
		m.cookie = reply.Cookie
	case err == nil:
		return m.definitionUnknown(&stream.Cause{Code: stream.CodeLibvirt, Host: m.peer.Name, Text: stream.Printable(reply.Undecided)})
	case m.answered(err):
		m.confirm(true)
		return m.failed(context.Background(), err)
	default:
		return m.definitionUnknown(session.CauseOf(err))
	}
	m.progress(control.PhaseConfirm)
	m.session.Finish()
	m.session.Wait()
	result := &control.Result{Outcome: control.Moved, Message: fmt.Sprintf("guest %s is defined on %s", m.dom.Name, m.peer.Name)}
	if m.nameThere() != m.dom.Name {
		result.Message += ", as " + m.nameThere()
	}
	if err := m.confirm(false); err != nil && m.req.UndefineSource {
		result.Outcome = control.Unknown
		result.Cause = m.libvirtCause("undefining the guest", err).Error()
		result.Message += fmt.Sprintf("; %s may define it still: `virsh undefine %s` there", m.host.Config.Name, m.dom.Name)
	}
	return result
}

// definitionUnknown is the result where no one can tell whether the definition has come.
func (m *outgoing) definitionUnknown(failure *stream.Cause) *control.Result {
	m.session.Fail(failure)
	m.session.Wait()
	m.confirm(true)
	m.code = failure.Code
	return &control.Result{
		Outcome: control.Unknown,
		Cause:   failure.Error(),
		Message: fmt.Sprintf("guest %s is on %s as it was, and no one can tell whether it is defined on %s, too: `virsh dumpxml %s` there shows it. Do not start it on both", m.dom.Name, m.host.Config.Name, m.peer.Name, m.nameThere()),
	}
}
