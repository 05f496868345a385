package proxy

import (
	"context"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// answer answers a peer's question that belongs to no session.
func (d *Daemon) answer(ctx context.Context, peer, name string, body []byte) (any, error) {
	switch name {
	case askOutcome:
		var ask outcomeAsk
		if err := msgpack.Unmarshal(body, &ask); err != nil {
			return nil, fmt.Errorf("read the question %s: %w", name, err)
		}
		return d.outcome(ctx, peer, &ask)
	case check.Question:
		return d.checked(ctx, peer), nil
	}
	return nil, &stream.Cause{Code: stream.CodeVersion, Text: fmt.Sprintf("there is no question %.20q here: update the older sluice", name)}
}

// outcome says what became of the guest of a session that broke. It answers
// only once the session is over here, so that Finish has returned or will not be
// asked for any more.
func (d *Daemon) outcome(ctx context.Context, peer string, ask *outcomeAsk) (*outcomeReply, error) {
	uuid, err := virt.ParseUUID(ask.UUID)
	if err != nil {
		return nil, err
	}
	if err := d.acceptor.Over(ctx, peer, ask.Session); err != nil {
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
