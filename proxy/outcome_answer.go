package proxy

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Outcome says what became of the guest of a session that broke. over waits for the session's end. It answers
// only once the session is over here, so that Finish has returned or will not be
// asked for any more.
func (d *Arrivals) Outcome(ctx context.Context, peer string, ask *outcomeAsk, over func(context.Context, string, string) error) (*outcomeReply, error) {
	uuid, err := virt.ParseUUID(ask.UUID)
	if err != nil {
		return nil, err
	}
	if err := over(ctx, peer, ask.Session); err != nil {
		return nil, fmt.Errorf("session %s still ends on %s", ask.Session, d.Config.Name)
	}
	state, err := d.Libvirt.State(ctx, uuid)
	if err != nil {
		return nil, err
	}
	reply := &outcomeReply{Outcome: outcomeUndecided, State: state.String()}
	switch known := d.verdicts.get(peer, ask.Session); {
	case known == ran, state.Running():
		reply.Outcome = outcomeRuns
	case known == neverRan && state.Absent:
		reply.Outcome = outcomeAbsent
	}
	return reply, nil
}
