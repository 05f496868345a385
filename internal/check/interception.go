package check

import (
	"context"

	"github.com/virt-sluice/sluice/proxy/intercept"
)

// interception looks whether the kernel does with connections of QEMU's own
// what the configuration says.
func (h *Host) interception(ctx context.Context, l *list) {
	const interception, code = "interception", "interception"
	if h.Config.Intercept == nil {
		if intercept.Status(nil).On {
			l.warn(interception, code, "`sluice intercept down`, or write [intercept] into the configuration",
				"the kernel leads connections of QEMU's own to sluice, which does not take them: they are refused")
		}
		return
	}
	want, err := intercept.FromConfig(ctx, h.Config)
	if err != nil {
		l.fail(interception, code, "", "%v", err)
		return
	}
	st := intercept.Status(want)
	switch {
	case !st.On:
		l.fail(interception, code, "`sluice intercept up`; sluice-intercept.service does it when the host starts", "%s", st.Problem)
	case st.Problem != "":
		l.fail(interception, code, "`sluice intercept up`", "%s", st.Problem)
	default:
		l.ok(interception, "ports %s are closed to other hosts, and connections to those of %d addresses are led to sluice", st.Ports, len(st.Routes))
	}
}
