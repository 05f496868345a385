package bench

import "slices"

// Figure is a measured value over the rounds.
type Figure struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// FigureOf is the figure of values, zero if there are none.
func FigureOf(values []float64) Figure {
	if len(values) == 0 {
		return Figure{}
	}
	return Figure{Median(values), slices.Min(values), slices.Max(values)}
}

// Median of values, 0 if there are none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Ratios of values that were measured side by side.
func Ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// quantile of sorted values: the least that so many of them do not exceed.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
