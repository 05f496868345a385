package forecast

import (
	"math"
	"time"
)

// Guest is what is to be moved.
type Guest struct {
	Memory float64 // bytes that are not zero
	Grows  float64 // bytes per second by which those become more, beside Dirt
	Most   float64 // bytes that they may come to; 0: no more than Memory
	Disks  float64 // bytes of disks that are copied before
	Dirt   Dirt
	Busy   float64 // how much of its time it has work, as a part of 1: it is slowed down by what is taken beyond the rest; 0: all of it
}

// memory is how much is not zero after so many seconds.
func (g Guest) memory(t float64) float64 {
	return min(g.Memory+g.Grows*t, max(g.Memory, g.Most))
}

// first is how much is sent in the first pass, in which it may go on to grow.
func (g Guest) first(p Path) float64 {
	memory, most := g.memory(g.Disks/p.Rate), max(g.Memory, g.Most)
	if g.Grows >= p.Rate {
		return most
	}
	return min(most, memory/(1-g.Grows/p.Rate))
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
	usualBegin  = 600 * time.Millisecond
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
	guest    Guest
	path     Path
	cold     float64   // yet to be sent for the first time
	hot      float64   // and once more
	at       float64   // seconds since it began
	before   float64   // seconds in which hot was changed, at the guest's full speed
	step     int       // of the downtime limit
	throttle *throttle // nil: QEMU takes no time from the guest
	f        Forecast
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
	memory := g.memory(g.Disks / p.Rate)
	sent := g.first(p)
	t := sent / p.Rate
	left := g.Dirt.in(t) + g.memory(g.Disks/p.Rate+t) - memory
	return Forecast{Converges: true, Passes: 2, Downtime: p.switching(), Sent: sent + left, Total: p.beginning() + p.switching() + seconds((sent+left+g.Disks)/p.Rate)}
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
			once := Postcopy(g, p)
			f.Downtime = min(f.Downtime, p.switching()+seconds((once.Sent-g.first(p))/p.Rate))
			return f
		}
	}
}

func forecast(g Guest, p Path, t *throttle) Forecast {
	if !(p.Rate > 0) || math.IsInf(p.Rate, 0) || !(g.Dirt.Second >= 0) { // none of a measurement's
		return Forecast{Left: g.Memory}
	}
	if p.Downtime <= 0 {
		p.Downtime = defaultDowntime
	}
	p.Steps = max(p.Steps, 1)
	r := &run{guest: g, path: p, throttle: t, cold: g.first(p), at: g.Disks / p.Rate, step: 1}
	r.f.Total = p.beginning() + seconds(g.Disks/p.Rate)
	least, at, before := math.Inf(1), 0, math.Inf(1)
	for r.f.Passes = 1; r.f.Passes < maxPasses; r.f.Passes++ {
		slower := r.f.Throttle
		r.pass()
		left := r.cold + r.hot
		if left <= r.fits() {
			r.f.Converges = true
			r.f.Downtime = r.path.switching() + seconds(left/p.Rate)
			r.f.Total += r.f.Downtime
			r.f.Sent += left
			return r.f
		}
		if left < least*0.99 || r.f.Throttle > slower {
			least, at = min(least, left), r.f.Passes
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

// pass sends, slice by slice, until what is left would fit, and then looks for what was changed. That
// may be what is left.
func (r *run) pass() {
	left := r.cold + r.hot
	slices := math.Max(0, math.Ceil((left-r.fits())/(r.path.Rate*slice.Seconds())))
	some := min(left, slices*r.path.Rate*slice.Seconds())
	t := some / r.path.Rate
	r.f.Sent += some
	r.f.Total += seconds(t)
	r.cold -= some
	if r.cold < 0 { // what was changed comes behind
		r.hot, r.cold = max(0, r.hot+r.cold), 0
	}

	dirt, now := r.guest.Dirt, t*r.speed()
	changed := dirt.in(now)
	unsent := r.hot * (1 - dirt.common(r.before, now))
	if r.f.Passes == 1 { // what is left lies anywhere
		r.cold *= 1 - min(1, changed/max(left, 1))
	}
	changed += r.guest.memory(r.at+t) - r.guest.memory(r.at)
	if r.throttle != nil {
		r.f.Throttle = r.throttle.after(seconds(t), max(0, changed+unsent-r.hot), some, r.f.Throttle)
	}
	r.hot = changed + unsent
	r.before, r.at = now, r.at+t
}

// speed is what the guest still does of what it did.
func (r *run) speed() float64 {
	if busy := r.guest.Busy; busy > 0 && busy < 1 {
		return min(1, (1-r.f.Throttle)/busy)
	}
	return 1 - r.f.Throttle
}

func seconds(s float64) time.Duration {
	const most = 365 * 24 * time.Hour
	if s >= most.Seconds() {
		return most
	}
	return time.Duration(s * float64(time.Second))
}
