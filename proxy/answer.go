package proxy

import (
	"context"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/stream"
)

// answer answers a peer's question that belongs to no session.
func (d *Daemon) answer(ctx context.Context, peer, name string, body []byte) (any, error) {
	switch name {
	case arrival.AskOutcome:
		var ask arrival.OutcomeAsk
		if err := msgpack.Unmarshal(body, &ask); err != nil {
			return nil, fmt.Errorf("read the question %s: %w", name, err)
		}
		return d.arrivals.Outcome(ctx, peer, &ask, d.acceptor.Over)
	case check.Question:
		return d.checked(ctx, peer), nil
	}
	return nil, &stream.Cause{Code: stream.CodeVersion, Text: fmt.Sprintf("there is no question %.20q here: update the older sluice", name)}
}
