package proxy

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/stream"
)

// Words of a peer's make no series.
func TestCountersAreClosed(t *testing.T) {
	r := newRegistry(10, 10)
	before := len(r.counters.ended) + len(r.counters.failed)
	for _, work := range []string{"a\xff", "another"} {
		e, err := r.add(stream.Info{Work: work}, control.Incoming)
		if err != nil {
			t.Fatal(err)
		}
		r.end(e, control.Failed, "own code "+work, "")
	}
	live, counters := r.totals()
	if len(live) != len(classes()) || len(counters.ended)+len(counters.failed) != before {
		t.Errorf("%d classes, %d series: %v", len(live), len(counters.ended)+len(counters.failed), counters)
	}
	if n := counters.ended[endKey{class{control.Incoming, otherWord}, control.Failed}]; n != 2 {
		t.Errorf("%d ended", n)
	}
	if n := counters.failed[failureKey{control.Incoming, otherWord}]; n != 2 {
		t.Errorf("%d failed", n)
	}
}
