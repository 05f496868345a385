package session

import (
	"testing"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// Words of a peer's make no series.
func TestCountersAreClosed(t *testing.T) {
	r := NewRegistry(10, 10)
	before := len(r.counters.Ended) + len(r.counters.Failed)
	for _, work := range []string{"a\xff", "another"} {
		e, err := r.Add(stream.Info{Work: work}, control.Incoming)
		if err != nil {
			t.Fatal(err)
		}
		r.End(e, control.Failed, "own code "+work, "")
	}
	live, counters := r.Totals()
	if len(live) != len(classes()) || len(counters.Ended)+len(counters.Failed) != before {
		t.Errorf("%d classes, %d series: %v", len(live), len(counters.Ended)+len(counters.Failed), counters)
	}
	if n := counters.Ended[endKey{class{control.Incoming, otherWord}, control.Failed}]; n != 2 {
		t.Errorf("%d ended", n)
	}
	if n := counters.Failed[failureKey{control.Incoming, otherWord}]; n != 2 {
		t.Errorf("%d failed", n)
	}
}
