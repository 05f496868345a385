package forecast

import "math"

// Dirt is how a guest changes its memory. Each byte that it changes within a time is counted once, and
// some are changed more often than others: so what is changed grows slower than time, as a power of it.
//
// What a guest does within a part of a second nobody measures. What it changes in each of two seconds, it
// may change at any rate, and the worst is assumed; the rest comes in turn.
type Dirt struct {
	Second float64 // bytes changed within one
	Growth float64 // the power: 1 where none is changed twice, 0 where it is always the same
	Memory float64 // bytes that there are
}

// often is how many times a second a guest changes what it changes in every second.
const often = 50

// Again is how many bytes are changed in each of two seconds.
func (d Dirt) Again() float64 { return d.Second * (2 - math.Exp2(d.Growth)) }

// Known is the dirt of which these figures are known.
func Known(second, again, memory float64) Dirt {
	d := Dirt{Second: second, Growth: 1, Memory: memory}
	if second > 0 {
		d.Growth = math.Log2(2 - max(0, min(again/second, 1)))
	}
	return d
}

// in is how many bytes are changed within t seconds.
func (d Dirt) in(t float64) float64 {
	if t >= 1 {
		return min(d.Second*math.Pow(t, d.Growth), d.Memory)
	}
	again := d.Again()
	return again*(1-math.Exp(-often*t)) + (d.Second-again)*t
}

// common is the part of what was changed within so many seconds that is changed within the next, too.
func (d Dirt) common(before, next float64) float64 {
	was := d.in(before)
	if was <= 0 {
		return 0
	}
	return max(0, min(1, (was+d.in(next)-d.in(before+next))/was))
}

// Beside is what is left of d without what comes of memory that is used for the first time, of which
// there are so many bytes per second.
func (d Dirt) Beside(grows float64) Dirt {
	return Fit(max(0, d.in(1)-grows), max(0, d.in(3)-3*grows), d.Memory)
}

// Fit is the dirt of a guest that changes one bytes in one second and three bytes in three, each
// byte counted once, of so many bytes of memory.
func Fit(one, three, memory float64) Dirt {
	one = min(one, memory)
	three = min(max(three, one), memory)
	if one <= 0 { // a burst later
		return Dirt{Second: three / 3, Growth: 1, Memory: memory}
	}
	return Dirt{Second: one, Growth: min(1, math.Log(three/one)/math.Log(3)), Memory: memory}
}
