package departure

import (
	"context"
	"fmt"
	"time"
)

// Resolve takes an operator's word for what became of a guest: that it runs at its destination, or
// that it does not and never will. It is refused if the destination can be asked and says
// otherwise. It returns once all is done here, or tells what is not after a while.
func (t *Table) Resolve(ctx context.Context, guest string, v Verdict) error {
	d := t.find(guest)
	if d == nil {
		return fmt.Errorf("nothing is to be settled of a guest %.80q on %s: `sluice status` lists those of which something is", guest, t.Host)
	}
	if st := d.Status(); st.Verdict != Unknown {
		return fmt.Errorf("what became of guest %s is known (%s: %s)", st.Guest, st.Peer, st.Verdict)
	}
	asking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	answer, err := d.move.Ask(asking)
	if err == nil && answer.Verdict != Unknown && answer.Verdict != v {
		return fmt.Errorf("%s can be asked, and says otherwise: the guest %s", d.rec.Peer, map[Verdict]string{Runs: "runs there", Absent: "is not there and never will be"}[answer.Verdict])
	}
	taken := make(chan error, 1)
	d.tell(func() {
		if !d.state.Lost {
			taken <- fmt.Errorf("%s is still taking guest %s over, since %s: wait for its answer", d.rec.Peer, d.rec.Guest, time.Since(d.rec.Since).Round(time.Second))
			return
		}
		d.log.Warn().Str("verdict", string(v)).Msg("an operator says what became of the guest")
		d.decide(v, "an operator has said so")
		taken <- nil
	})
	select {
	case err := <-taken:
		if err != nil {
			return err
		}
	case <-d.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	patience := time.NewTimer(t.Limits().GiveUp)
	defer patience.Stop()
	select {
	case <-d.over:
		return nil
	case <-patience.C:
		return fmt.Errorf("%s has your word for it, and goes on until it is done: %s", t.Host, d.Status().Last)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
