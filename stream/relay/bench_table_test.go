package relay

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// table keeps every round's figures, and each contender's ratio to the first within the round.
type table struct {
	names, units []string
	rounds       map[string][]float64
}

func newTable() *table { return &table{rounds: map[string][]float64{}} }

func (t *table) add(name, unit string, v float64) {
	if !slices.Contains(t.names, name) {
		t.names = append(t.names, name)
	}
	if !slices.Contains(t.units, unit) {
		t.units = append(t.units, unit)
	}
	t.rounds[name+unit] = append(t.rounds[name+unit], v)
}

func (t *table) report(b *testing.B) {
	var s strings.Builder
	fmt.Fprintf(&s, "median of %d rounds [least, most] (ratio to %s within a round)\n", b.N, t.names[0])
	for _, unit := range t.units {
		for _, name := range t.names {
			v := t.rounds[name+unit]
			if len(v) == 0 {
				continue
			}
			ratio := make([]float64, len(v))
			for i := range v {
				ratio[i] = v[i] / t.rounds[t.names[0]+unit][i]
			}
			fmt.Fprintf(&s, "%-14s %-12s %9.3f [%.3f, %.3f] (%.2f)\n", unit, name, median(v), slices.Min(v), slices.Max(v), median(ratio))
			if unit == "GB/cpu-s" || unit == "us-p50" {
				b.ReportMetric(median(v), name+"-"+unit)
			}
		}
	}
	fmt.Fprint(os.Stderr, "\n"+b.Name()+": "+s.String())
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
