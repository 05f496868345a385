package evacuate

import (
	"testing"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

func TestUsual(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	// session is one that has sent from begin until end, in milliseconds, and lasted until all.
	session := func(direction, outcome string, begin, end, all int64) control.SessionRecord {
		return control.SessionRecord{
			SessionStatus: control.SessionStatus{Direction: direction, Outcome: outcome, Started: at, Ended: at.Add(time.Duration(all) * time.Millisecond)},
			Phases:        []control.PhaseStart{{Phase: control.PhaseConnect}, {Phase: control.PhaseDisks, At: begin}, {Phase: control.PhaseMemory, At: begin + 1}, {Phase: control.PhaseFinish, At: end}},
		}
	}
	slow, quick, odd := session(control.Outgoing, control.Moved, 1500, 60_000, 60_500), session(control.Outgoing, control.Moved, 300, 400, 500), session(control.Outgoing, control.Moved, 30_000, 40_000, 41_000)
	for name, c := range map[string]struct {
		past []control.SessionRecord
		want time.Duration
	}{
		"none":               {nil, 0},
		"one":                {[]control.SessionRecord{slow}, 2 * time.Second},
		"the median":         {[]control.SessionRecord{odd, slow, quick}, 2 * time.Second},
		"those that failed":  {[]control.SessionRecord{session(control.Outgoing, control.Failed, 1, 2, 3)}, 0},
		"those that come":    {[]control.SessionRecord{session(control.Incoming, control.Moved, 1, 2, 3)}, 0},
		"without any phases": {[]control.SessionRecord{{SessionStatus: slow.SessionStatus}}, 0},
	} {
		if got := Usual(c.past); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	free := map[string]uint64{"host-b": 10000}
	o := on(free, []string{"host-b"}, sketch{name: "g", need: 1000}, sketch{name: "strange", need: 1000, risk: RiskUnknown})
	o.Usual, o.Parallel = 3*time.Second, 1
	if p := New(o).Plan(); p.Total != 26*time.Second {
		t.Errorf("all: %v", p.Total)
	}
}
