package evacuate

import (
	"time"

	"github.com/virt-sluice/sluice/internal/forecast"
	"github.com/virt-sluice/sluice/proxy/control"
)

// wasted is how many times as much a guest may send on a part of the link as it does alone.
const wasted = 1.25

// bears is among how many that share the link a guest is sent nearly as it is alone, at most. One
// that changes memory faster than its share carries it sends much of it again and again, and all
// are through sooner by turns. One whose migration does not end, or of which that is not known, would
// keep the others waiting for it, and is sent with them.
func (m *move) bears(most int) int {
	e := m.estimate()
	switch {
	case m.risk == RiskMeans:
		return 1
	case m.risk != RiskNone || e == nil || m.cost.rate <= 0:
		return most
	}
	guest := forecast.Guest{Memory: float64(e.Memory), Dirt: forecast.Known(float64(e.DirtyRate), float64(e.HotMemory), float64(e.Memory))}
	among := func(n int) forecast.Forecast {
		return forecast.Of(guest, forecast.Path{Rate: m.cost.rate / float64(n), RoundTrip: e.RoundTrip, Downtime: downtime(e)})
	}
	alone := among(1)
	if !alone.Converges { // it ends by post-copy, or is slowed down, as was asked for
		return most
	}
	n := 1
	for n < most {
		if f := among(n + 1); !f.Converges || f.Sent > wasted*alone.Sent {
			break
		}
		n++
	}
	return n
}

// downtime is what the guest may stand still for.
func downtime(e *control.Estimate) time.Duration {
	if e.Goal != nil {
		return e.Goal.MaxDowntime
	}
	return e.MaxDowntime
}

// joins says whether a guest may be sent with those under way.
func (m *move) joins(under []*move) bool {
	n := len(under) + 1
	for _, u := range under {
		if u.atOnce < n {
			return false
		}
	}
	return n == 1 || m.atOnce >= n
}
