package session

import "time"

// rateMeter turns a growing count into a rate over the last few seconds. Whoever owns the count
// ticks; to look at the rate changes nothing, so that it is the same whoever looks, and how often.
type rateMeter struct {
	ticks []tick // oldest first; what is before the window is left out
}

type tick struct {
	at    time.Time
	count uint64
}

const (
	// tickInterval is how often a rate takes in what was counted.
	tickInterval = 500 * time.Millisecond
	// rateWindow is the time over which a rate is taken.
	rateWindow = 3 * time.Second
)

// tick notes that the count is n at time now.
func (m *rateMeter) tick(now time.Time, n uint64) {
	m.ticks = append(m.ticks, tick{now, n})
	for len(m.ticks) > 1 && now.Sub(m.ticks[1].at) >= rateWindow {
		m.ticks = m.ticks[1:]
	}
}

// at is the rate, per second, when the count is n at time now.
func (m *rateMeter) at(now time.Time, n uint64) uint64 {
	if len(m.ticks) == 0 {
		return 0
	}
	from := m.ticks[0]
	for _, t := range m.ticks[1:] { // that is over if nobody has ticked for a while
		if now.Sub(t.at) < rateWindow {
			break
		}
		from = t
	}
	elapsed := now.Sub(from.at).Seconds()
	if elapsed <= 0 || n < from.count {
		return 0
	}
	return uint64(float64(n-from.count) / elapsed)
}
