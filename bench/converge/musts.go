package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/bench"
)

// must is what sluice is held to.
type must struct {
	Text string   `json:"text"`
	Met  bool     `json:"met"`
	Why  []string `json:"why"` // the figures
}

// best is the way of sluice's that is held to it: everything is allowed.
const best = "sluice-all"

// What one is worse off by if it is to count: the part, and what the figures tell apart.
const (
	worse = 0.2

	grainSilence = 0.05 // s: five beats
	grainTime    = 0.5  // s
)

// musts says of measurements whether they are as they must be. Of what was not measured nothing is
// said.
func musts(all []measurement) []must {
	var guests []string
	by := make(map[string]map[string]measurement) // guest, way
	for _, m := range all {
		if by[m.Guest] == nil {
			guests = append(guests, m.Guest)
			by[m.Guest] = make(map[string]measurement)
		}
		by[m.Guest][m.Way] = m
	}
	moves := must{Text: "sluice moves every guest that any of them moves", Met: true}
	halves := must{Text: "of guests that do not converge by themselves, the median silence is at most half of that with --timeout-suspend"}
	equals := must{Text: "no guest is worse off than with the best fixed setting by more than 20 %", Met: true}
	var ours, suspended []float64
	for _, guest := range guests {
		ways := by[guest]
		sluice, measured := ways[best]
		if !measured {
			continue
		}
		var movers []measurement // fixed ones
		for _, m := range ways {
			if fixed(m.Way) && m.Moved {
				movers = append(movers, m)
			}
		}
		if len(movers) == 0 {
			continue
		}
		slices.SortFunc(movers, func(a, b measurement) int {
			return cmp.Or(cmp.Compare(a.Silence, b.Silence), cmp.Compare(a.Way, b.Way))
		})
		first := movers[0]
		if !sluice.Moved {
			moves.fails("%s: %s moves it", guest, first.Way)
			equals.fails("%s: it does not move", guest)
			continue
		}
		if off := sluice.worseThan(first); len(off) > 0 {
			equals.fails("%s: %s", guest, strings.Join(off, ", "))
		}
		if d, measured := ways[byDefault]; measured && !d.Moved && ways[bySuspend].Moved {
			ours = append(ours, sluice.Silence)
			suspended = append(suspended, ways[bySuspend].Silence)
		}
	}
	if a, b := bench.Median(ours), bench.Median(suspended); len(ours) > 0 {
		halves.Met = a <= b/2
		halves.Why = append(halves.Why, fmt.Sprintf("%.2f s against %.2f s, %d guests", a, b, len(ours)))
	} else {
		halves.fails("no such guest was measured")
	}
	return []must{moves, halves, equals}
}

func (m *must) fails(why string, args ...any) {
	m.Met, m.Why = false, append(m.Why, fmt.Sprintf(why, args...))
}

// worseThan says in what a guest is worse off than another.
func (m *measurement) worseThan(other measurement) (off []string) {
	for _, f := range []struct {
		what         string
		figure, than float64
		grain        float64
	}{
		{"silence", m.Silence, other.Silence, grainSilence},
		{"work lost", m.Lost, other.Lost, grainTime},
		{"time", m.Seconds, other.Seconds, grainTime},
	} {
		if f.figure > f.than*(1+worse) && f.figure > f.than+f.grain {
			off = append(off, fmt.Sprintf("%s %.2f s against %.2f s with %s", f.what, f.figure, f.than, other.Way))
		}
	}
	return off
}
