package forecast

import (
	"math"
	"time"
)

// Dirt is how a guest changes its memory: within a hot part of it, at a rate. All of that part is
// as likely to be changed next, so that less and less is new.
type Dirt struct {
	Hot  float64 // bytes that the guest changes again and again
	Rate float64 // bytes per second that it changes, those that it has changed already among them
}

// after is how much of what was clean has been changed after d, as a part of 1.
func (d Dirt) after(t time.Duration) float64 {
	if d.Hot <= 0 {
		return 0
	}
	return 1 - math.Exp(-d.Rate*t.Seconds()/d.Hot)
}

// saturated is the rate, in times the hot part per second, of a guest that had changed all of it
// before it was looked at for the first time. It may be any that is higher.
const saturated = 50

// Fit is the dirt of a guest that changes one bytes in one second and three bytes in three, each
// byte counted once, of so many bytes of memory.
func Fit(one, three, memory float64) Dirt {
	one = min(one, memory)
	three = min(max(three, one), memory)
	if one <= 0 {
		return Dirt{Hot: three, Rate: three / 3}
	}
	// With x the part that stays clean for a second: three/one = (1-x³)/(1-x) = 1+x+x².
	x := (math.Sqrt(4*three/one-3) - 1) / 2
	switch {
	case x < 0.1:
		return Dirt{Hot: three, Rate: saturated * three}
	case x > 1-one/memory: // it changes as much as if it never came back to the same place
		x = 1 - one/memory
		if x <= 0 {
			return Dirt{Hot: memory, Rate: saturated * memory}
		}
	}
	hot := one / (1 - x)
	return Dirt{Hot: hot, Rate: -math.Log(x) * hot}
}
