package check

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/internal/guestpolicy"
	"github.com/virt-sluice/sluice/proxy/control"
)

// guests judges this host's guests as a peer with the same [accept] would if they moved there.
func (h *Host) guests(ctx context.Context, l *control.Findings) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.Config.Limits.HandshakeTimeout, fmt.Errorf("no answer within %v: it hangs", h.Config.Limits.HandshakeTimeout))
	defer cancel()
	here := h.here()
	all, err := here.Guests(ctx)
	if err != nil { // which libvirtAnswers has told
		return
	}
	policy := guestpolicy.New(h.Config.Accept, func() ([]guestpolicy.Pool, error) { return here.Pools(ctx) })
	policy.Resolve = h.Observer.Resolve
	refused := 0
	for _, g := range all {
		if err := policy.Check(g.Description); err != nil {
			refused++
			l.Warn("accept", "accept", "list what guests may ask for in [accept] of the hosts that they move to (docs/config.md)",
				"guest %s could not come to a host with this host's settings: %v", g.Name, err)
		}
	}
	if refused == 0 {
		l.OK("accept", "all %d guests here ask for nothing beyond [accept]", len(all))
	}
}
