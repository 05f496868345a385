package arrival

import (
	"context"
	"time"
)

// AwaitOutcome asks once a second what became of a guest of a session that broke, until told says
// that it has heard enough: true. It is false when ctx has ended first.
func AwaitOutcome(ctx context.Context, ask func(context.Context) (*OutcomeReply, error), told func(*OutcomeReply, error) bool) bool {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for !told(ask(ctx)) {
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
