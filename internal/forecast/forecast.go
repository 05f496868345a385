package forecast

import (
	"math"
	"time"
)

// Guest is what is to be moved.
type Guest struct {
	Memory float64 // bytes that are sent in the first pass: those that are not zero
	Disks  float64 // bytes of disks that are copied before
	Dirt   Dirt
	Busy   float64 // how much of its time it has work, as a part of 1: it is slowed down by what is taken beyond the rest; 0: all of it
}

// Path is how it is moved.
type Path struct {
	Rate      float64       // bytes per second that get through
	RoundTrip time.Duration // that a question and its answer take
	Downtime  time.Duration // that QEMU allows itself; 0: its default
	// Steps is in how many equal steps Downtime is come to, each when a pass begins with no less than
	// the one before; 0: it holds from the beginning.
	Steps int
	// Within is how long it may take in all, where that makes a difference; 0: for ever.
	Within time.Duration
}

const (
	defaultDowntime = 300 * time.Millisecond // DEFAULT_MIGRATE_SET_DOWNTIME

	// What is usual where an answer takes no time: for stopping the guest here and starting it there,
	// besides what is sent for that, and for all that is before and after the passes.
	usualSwitch = 40 * time.Millisecond
	usualBegin  = time.Second
)

// switching waits for the last byte to arrive, and for the answer to Finish.
func (p Path) switching() time.Duration { return usualSwitch + 2*p.RoundTrip }

// beginning has the handshakes of the session and its channels, and libvirt's steps.
func (p Path) beginning() time.Duration { return usualBegin + 10*p.RoundTrip }

// Forecast is how a migration goes.
type Forecast struct {
	Converges bool
	Passes    int           // over memory
	Throttle  float64       // of the guest's time that QEMU takes at last, as a part of 1
	Total     time.Duration // until the guest runs there
	Downtime  time.Duration // for which it stands still
	Sent      float64       // bytes of memory
	Left      float64       // bytes that are to be sent at the least, where it does not converge
}

// slice is for how long QEMU sends before it looks what is left (MAX_WAIT in migration/ram.c).
const slice = 50 * time.Millisecond

// Passes within which a migration that ends brings less than ever before, and more than any takes.
const (
	stalled   = 8
	maxPasses = 2000
)

// run is a migration under way, in bytes.
type run struct {
	guest     Guest
	path      Path
	cold, hot float64       // yet to be sent: of memory that does not change, and of the hot part
	since     time.Duration // since QEMU has looked for what was changed
	step      int           // of the downtime limit
	throttle  *throttle     // nil: QEMU takes no time from the guest
	f         Forecast
}

// throttle is auto-converge: QEMU takes more and more of its time from a guest that has twice changed
// more than half of what got through, over a second or more each (migration_trigger_throttle).
type throttle struct {
	period        time.Duration
	dirtied, sent float64 // in the period
	high          int     // periods
}

// Parts of the guest's time: cpu-throttle-initial, cpu-throttle-increment, max-cpu-throttle.
const (
	throttleInitial   = 0.20
	throttleIncrement = 0.10
	throttleMost      = 0.99
)

// after is what part of its time is taken from a guest that now loses so much.
func (h *throttle) after(t time.Duration, dirtied, sent, now float64) float64 {
	h.period, h.dirtied, h.sent = h.period+t, h.dirtied+dirtied, h.sent+sent
	if h.period < time.Second {
		return now
	}
	if h.dirtied > h.sent/2 {
		h.high++
	}
	h.period, h.dirtied, h.sent = 0, 0, 0
	switch {
	case h.high < 2:
		return now
	case now == 0:
		now = throttleInitial
	default:
		now = min(now+throttleIncrement, throttleMost)
	}
	h.high = 0
	return now
}

// Of is how a migration goes that is left to itself.
func Of(g Guest, p Path) Forecast { return forecast(g, p, nil) }

// Throttled is how it goes with auto-converge.
func Throttled(g Guest, p Path) Forecast { return forecast(g, p, new(throttle)) }

// Postcopy is how it goes if the guest is switched to post-copy after one pass. It stands still for
// the switch alone, and waits for pages until the end.
func Postcopy(g Guest, p Path) Forecast {
	first := seconds(g.Memory / p.Rate)
	left := g.Dirt.Hot * g.Dirt.after(first)
	return Forecast{Converges: true, Passes: 2, Downtime: p.switching(), Sent: g.Memory + left, Total: p.beginning() + p.switching() + seconds((g.Memory+left+g.Disks)/p.Rate)}
}

// Paused is how it goes if the guest may stand still for longer: with the first limit that does, in
// time, of those of which each is longer by a half. Such a limit comes after the first pass.
func Paused(g Guest, p Path) (f Forecast) {
	const most = 2000 * time.Second // MAX_MIGRATE_DOWNTIME
	if p.Downtime <= 0 {
		p.Downtime = defaultDowntime
	}
	for p.Steps = 0; ; p.Downtime = min(p.Downtime*3/2, most) {
		if f = Of(g, p); f.Converges && (p.Within == 0 || f.Total <= p.Within) || p.Downtime >= most {
			f.Downtime = min(f.Downtime, p.switching()+seconds(g.Dirt.Hot/p.Rate))
			return f
		}
	}
}

func forecast(g Guest, p Path, t *throttle) Forecast {
	if !(p.Rate > 0) || math.IsInf(p.Rate, 0) || !(g.Dirt.Rate >= 0) || !(g.Dirt.Hot >= 0) { // none of a measurement's
		return Forecast{Left: g.Memory}
	}
	g.Dirt.Hot = min(g.Dirt.Hot, g.Memory)
	if p.Downtime <= 0 {
		p.Downtime = defaultDowntime
	}
	p.Steps = max(p.Steps, 1)
	r := &run{guest: g, path: p, throttle: t, cold: g.Memory - g.Dirt.Hot, hot: g.Dirt.Hot, step: 1}
	r.f.Total = p.beginning() + seconds(g.Disks/p.Rate)
	least, at, before := math.Inf(1), 0, math.Inf(1)
	for r.f.Passes = 1; r.f.Passes < maxPasses; r.f.Passes++ {
		r.pass()
		left := r.cold + r.hot
		if left <= r.fits() {
			r.f.Converges = true
			r.f.Downtime = r.path.switching() + seconds(left/p.Rate)
			r.f.Total += r.f.Downtime
			r.f.Sent += left
			return r.f
		}
		if left < least*0.99 {
			least, at = left, r.f.Passes
		}
		switch {
		case left > before*0.9 && r.step < p.Steps:
			r.step, at = r.step+1, r.f.Passes
		case r.f.Passes-at >= stalled && (t == nil || r.f.Throttle >= throttleMost):
			r.f.Left = least
			return r.f
		}
		before = left
	}
	r.f.Left = least
	return r.f
}

// fits is how much gets through in the downtime.
func (r *run) fits() float64 {
	return r.path.Rate * r.path.Downtime.Seconds() * float64(r.step) / float64(r.path.Steps)
}

// pass sends, slice by slice, until what is left would fit, and then looks for what was changed.
func (r *run) pass() {
	left := r.cold + r.hot
	slices := math.Max(0, math.Ceil((left-r.fits())/(r.path.Rate*slice.Seconds())))
	some := min(left, slices*r.path.Rate*slice.Seconds())
	if some > 0 {
		// In the first pass the hot part goes where it lies; later it is behind what is left of that.
		hot := max(0, some-r.cold)
		if r.f.Passes == 1 {
			hot = some * r.hot / left
		}
		r.hot = max(0, r.hot-hot)
		r.cold = max(0, r.cold-(some-hot))
		r.f.Sent += some
		t := seconds(some / r.path.Rate)
		r.since += t
		r.f.Total += t
	}
	dirt := r.guest.Dirt
	if busy := r.guest.Busy; busy > 0 && busy < 1 {
		dirt.Rate *= min(1, (1-r.f.Throttle)/busy)
	} else {
		dirt.Rate *= 1 - r.f.Throttle
	}
	changed := (dirt.Hot - r.hot) * dirt.after(r.since)
	r.hot += changed
	if r.throttle != nil {
		r.f.Throttle = r.throttle.after(r.since, changed, some, r.f.Throttle)
	}
	r.since = 0
}

func seconds(s float64) time.Duration {
	const most = 365 * 24 * time.Hour
	if s >= most.Seconds() {
		return most
	}
	return time.Duration(s * float64(time.Second))
}
