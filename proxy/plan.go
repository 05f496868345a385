package proxy

import (
	"context"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/plan"
)

// plan answers `sluice plan`.
func (d *Daemon) plan(ctx context.Context, req *control.PlanRequest) (*control.Plan, error) {
	return plan.Run(ctx, d.now().Host, req, func(ctx context.Context, peer string) (*control.Report, error) {
		return d.check(ctx, &control.CheckRequest{Peers: []string{peer}})
	})
}
