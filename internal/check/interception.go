package check

import (
	"context"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
)

// InterceptTable is what the kernel should have by a configuration with [intercept].
func InterceptTable(ctx context.Context, cfg *config.Config) (*rules.Table, error) {
	w := rules.Wanted{Port: uint16(cfg.Intercept.Port), PeersAlone: cfg.Intercept.PeersAlone, Hosts: make(map[string][]string)}
	w.First, w.Last = cfg.Intercept.Range()
	for name, peer := range cfg.Peers {
		w.Hosts[name] = peer.InterceptAt()
	}
	return w.Resolve(ctx)
}

// interception looks whether the kernel does with connections of QEMU's own
// what the configuration says.
func (h *Host) interception(ctx context.Context, l *control.Findings) {
	const interception, code = "interception", "interception"
	if h.Config.Intercept == nil {
		if rules.Status(nil).On {
			l.Warn(interception, code, "`sluice intercept down`, or add [intercept] to the configuration",
				"the kernel redirects QEMU's own connections to sluice, which does not accept them: they are refused")
		}
		return
	}
	want, err := InterceptTable(ctx, h.Config)
	if err != nil {
		l.Fail(interception, code, "", "%v", err)
		return
	}
	st := rules.Status(want)
	switch {
	case !st.On:
		l.Fail(interception, code, "`sluice intercept up`; sluice-intercept.service does it when the host starts", "%s", st.Problem)
	case st.Problem != "":
		l.Fail(interception, code, "`sluice intercept up`", "%s", st.Problem)
	default:
		l.OK(interception, "ports %s are closed to other hosts, and connections to those of %d addresses are redirected to sluice", st.Ports, len(st.Routes))
	}
}
