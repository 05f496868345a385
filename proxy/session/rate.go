package session

import "time"

// RateMeter turns a growing count, looked at now and then, into a rate.
type RateMeter struct {
	since time.Time
	count uint64
	rate  uint64 // of the last whole interval
}

// meterInterval is the shortest time over which a rate is taken.
const meterInterval = 500 * time.Millisecond

// At is the rate, per second, when the count is n at time now.
func (m *RateMeter) At(now time.Time, n uint64) uint64 {
	switch elapsed := now.Sub(m.since); {
	case m.since.IsZero():
		m.since, m.count = now, n
	case elapsed >= meterInterval:
		m.rate = uint64(float64(n-m.count) / elapsed.Seconds())
		m.since, m.count = now, n
	}
	return m.rate
}
