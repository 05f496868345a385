package main

import (
	"slices"
	"testing"
)

// TestMusts says of figures what is met, and of which guest not.
func TestMusts(t *testing.T) {
	moved := func(guest, way string, seconds, silence, lost float64) measurement {
		return measurement{Guest: guest, Way: way, Moved: true, Seconds: seconds, Silence: silence, Lost: lost}
	}
	stays := func(guest, way string) measurement {
		return measurement{Guest: guest, Way: way, Seconds: 40, Why: "cancelled after 40s"}
	}
	idle := []measurement{moved("idle", byDefault, 4, 0.1, 0.2), moved("idle", bySuspend, 4, 0.1, 0.2)}
	above := []measurement{stays("above", byDefault), moved("above", bySuspend, 14, 4, 4), moved("above", "postcopy", 14, 0.3, 3)}
	for name, c := range map[string]struct {
		all  []measurement
		want [3]bool
	}{
		"all met":              {slices.Concat(idle, above, []measurement{moved("idle", best, 4.4, 0.12, 0.3), moved("above", best, 12, 0.3, 3.2)}), [3]bool{true, true, true}},
		"not moved":            {slices.Concat(idle, above, []measurement{moved("idle", best, 4, 0.1, 0.2), stays("above", best)}), [3]bool{false, false, false}},
		"long silence":         {slices.Concat(idle, above, []measurement{moved("idle", best, 4, 0.1, 0.2), moved("above", best, 14, 2.1, 3)}), [3]bool{true, false, false}},
		"much work lost":       {slices.Concat(idle, above, []measurement{moved("idle", best, 4, 0.1, 1), moved("above", best, 14, 0.3, 3)}), [3]bool{true, true, false}},
		"later":                {slices.Concat(idle, above, []measurement{moved("idle", best, 4.9, 0.1, 0.2), moved("above", best, 14, 0.3, 3)}), [3]bool{true, true, false}},
		"nobody else moves it": {[]measurement{stays("above", byDefault), stays("above", best)}, [3]bool{true, false, true}},
		"all converge":         {slices.Concat(idle, []measurement{moved("idle", best, 4, 0.1, 0.2)}), [3]bool{true, false, true}},
		"not measured":         {slices.Concat(idle, above, []measurement{{Guest: "idle", Way: best, Error: "the lab broke"}, moved("above", best, 12, 0.3, 3)}), [3]bool{false, true, false}},
	} {
		var got [3]bool
		said := musts(c.all)
		for i, m := range said {
			got[i] = m.Met
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v: %+v", name, got, c.want, said)
		}
	}
}
