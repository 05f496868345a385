package arrival

import (
	"context"
	"fmt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// Outcome says what became of the guest of a session that broke. over waits for the session's end.
// It answers only once the session is over here, so that Finish has returned or will not be asked
// for any more.
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
	r, known := a.records.get(peer, ask.Session)
	reply := &OutcomeReply{Outcome: OutcomeUndecided, State: state.String(), Gone: state.Absent}
	switch {
	case !known:
		reply.State += fmt.Sprintf(", and sluice on %s remembers no such session: the host was restarted since, or it was long ago", a.Config.Name)
	case r.UUID != virt.FormatUUID(uuid):
		return nil, fmt.Errorf("session %s was for guest %s", ask.Session, r.UUID)
	case r.Verdict == Ran:
		reply.Outcome = OutcomeRuns
	case r.Verdict == NeverRan && !state.Running(): // else somebody else runs it, or libvirt by itself
		reply.Outcome = OutcomeAbsent
	case state.Running() || r.Paused && state.Paused():
		id, err := a.Libvirt.ID(ctx, uuid)
		if err != nil {
			return nil, err
		}
		if id == r.ID && id != 0 {
			reply.Outcome = OutcomeRuns
		}
	}
	return reply, nil
}
