package arrival

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Outcome says what became of the guest of a session that broke. over waits for the session's end. It answers
// only once the session is over here, so that Finish has returned or will not be
// asked for any more.
func (a *Arrivals) Outcome(ctx context.Context, peer string, ask *OutcomeAsk, over func(context.Context, string, string) error) (*OutcomeReply, error) {
	uuid, err := virt.ParseUUID(ask.UUID)
	if err != nil {
		return nil, err
	}
	if err := over(ctx, peer, ask.Session); err != nil {
		return nil, fmt.Errorf("session %s still ends on %s", ask.Session, a.Config.Name)
	}
	state, err := a.Libvirt.State(ctx, uuid)
	if err != nil {
		return nil, err
	}
	reply := &OutcomeReply{Outcome: OutcomeUndecided, State: state.String()}
	switch known := a.verdicts.get(peer, ask.Session); {
	case known == Ran, state.Running():
		reply.Outcome = OutcomeRuns
	case known == NeverRan && state.Absent:
		reply.Outcome = OutcomeAbsent
	}
	return reply, nil
}
