package evacuate

import (
	"cmp"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// cost is what moving a guest takes.
type cost struct {
	bytes    uint64        // that are sent, of memory and of disks
	fixed    time.Duration // for all but sending
	rate     float64       // bytes per second that got through where it was measured; 0: not known
	downtime time.Duration // 0: not known
}

// mostSeconds is as long as anything is said to take. A Duration has room for nine times that.
const mostSeconds = 1e9

// usualFixed is for all but sending, where nothing was measured.
const usualFixed = time.Second

// measure says what the guest costs, and how big a risk it is. A plan knows little of what starting
// a guest takes, and is trusted only to say that it is longer than usual.
func (m *move) measure(usual time.Duration) {
	e := m.estimate()
	m.cost, m.risk = cost{fixed: cmp.Or(usual, usualFixed)}, RiskUnknown
	if e == nil {
		if p := m.ways[0].Plan.Memory; p != nil {
			m.cost.bytes = p.Needed
		} else { // a definition alone
			m.risk = RiskNone
		}
		return
	}
	m.cost.bytes, m.cost.rate = e.Memory+e.Disks, float64(e.LinkRate)
	switch o := e.Outlook; {
	case o == nil:
	case !o.Converges:
		m.risk = RiskEndless
	default:
		m.risk = RiskNone
		if e.Goal != nil && e.Goal.Ends != control.EndsItself {
			m.risk = RiskMeans
		}
		m.cost.bytes, m.cost.downtime = o.Sent+e.Disks, o.Downtime
		m.cost.fixed = max(usual, o.Total-m.cost.sending(m.cost.rate))
	}
}

// sending is how long it takes to where the guest goes, by itself; 0: not known.
func (m *move) sending() time.Duration {
	if m.to.rate > 0 {
		return m.cost.sending(m.to.rate)
	}
	return m.cost.sending(m.cost.rate)
}

func (c *cost) sending(rate float64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(min(float64(c.bytes)/rate, mostSeconds) * float64(time.Second))
}

// byRisk has those first that are most likely to need more time than there is: of whom it is not
// known that they end, then those that something must be done to, then the longest, and of these those that change most.
func byRisk(a, b *move) int {
	rank := map[string]int{RiskEndless: 0, RiskUnknown: 1, RiskMeans: 2, RiskNone: 3}
	return cmp.Or(
		cmp.Compare(rank[a.risk], rank[b.risk]),
		cmp.Compare(b.cost.fixed+b.cost.sending(b.cost.rate), a.cost.fixed+a.cost.sending(a.cost.rate)),
		cmp.Compare(b.cost.bytes, a.cost.bytes),
		cmp.Compare(hot(b), hot(a)),
		strings.Compare(a.Name, b.Name),
	)
}

func hot(m *move) uint64 {
	if e := m.estimate(); e != nil {
		return e.HotMemory
	}
	return 0
}

// endless is why a guest's migration does not end, and by which means it would; nil: it ends, or that
// is not known.
func (m *move) endless() *control.Estimate {
	if m.risk != RiskEndless {
		return nil
	}
	return m.estimate()
}

// goal is by which means a guest's migration ends; nil: it needs none, or does not end.
func (m *move) goal() *control.PlannedGoal {
	if m.risk != RiskMeans {
		return nil
	}
	return m.estimate().Goal
}
