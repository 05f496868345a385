package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/virt-sluice/sluice/bench"
)

// report is what a run has measured.
type report struct {
	Date         string        `json:"date"`
	Machine      bench.Machine `json:"machine"`
	Congestion   string        `json:"tcp_congestion_control"`
	MemoryMiB    int           `json:"memory_mib"`
	HugePages    bool          `json:"huge_pages"`
	Guests       []string      `json:"guests"`
	Ways         []string      `json:"ways"`
	Rounds       int           `json:"rounds"`
	Measurements []measurement `json:"measurements"`
}

// of are a way's figures with one kind of guest, by round.
func (rep *report) of(state, way string, figure func(measurement) float64) (values []float64) {
	for _, m := range rep.Measurements {
		if m.Guest == state && m.Way == way {
			values = append(values, figure(m))
		}
	}
	return values
}

func seconds(m measurement) float64 { return m.Seconds }
func cpu(m measurement) float64     { return m.CPU }
func relays(m measurement) float64  { return m.Relays }

// Write writes the report for a person.
func (rep *report) Write(out io.Writer) error {
	fmt.Fprint(out, rep.Machine.Heading(rep.Date))
	fmt.Fprintf(out, "a guest of %s between two hosts of the lab, TCP %s; medians of %d rounds (least to most), ratios within a round\n", rep.memory(), rep.Congestion, rep.Rounds)
	gib := float64(rep.MemoryMiB) / 1024
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, state := range rep.Guests {
		fmt.Fprintf(w, "\n%s guest\tseconds\tGiB/s\tCPU-s per GiB\tsluice's\ttime against tcp\ttime against tls\n", state)
		for _, way := range rep.Ways {
			s := rep.of(state, way, seconds)
			f := bench.FigureOf(s)
			ratio := func(other string) float64 {
				if !slices.Contains(rep.Ways, other) {
					return 0
				}
				return bench.Median(bench.Ratios(s, rep.of(state, other, seconds)))
			}
			fmt.Fprintf(w, "  %s\t%.2f (%.2f to %.2f)\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\n", way, f.Median, f.Least, f.Most, gib/f.Median,
				bench.Median(rep.of(state, way, cpu))/gib, bench.Median(rep.of(state, way, relays))/gib, ratio("tcp"), ratio("tls"))
		}
	}
	return w.Flush()
}

// memory is the guest's, in words.
func (rep *report) memory() string {
	if rep.HugePages {
		return fmt.Sprintf("%d MiB in huge pages", rep.MemoryMiB)
	}
	return fmt.Sprintf("%d MiB in small pages", rep.MemoryMiB)
}

// Plot writes the report as an SVG image.
func (rep *report) Plot(out io.Writer) error {
	d := bench.Drawing{Title: "migration of a guest between two hosts of the lab", Notes: []string{
		fmt.Sprintf("%s, %s, %d cores, Linux %s; TCP %s", rep.Date, rep.Machine.CPU, rep.Machine.Cores, rep.Machine.Kernel, rep.Congestion),
		fmt.Sprintf("a guest of %s, medians of %d rounds, lines from least to most", rep.memory(), rep.Rounds),
	}}
	for _, state := range rep.Guests {
		p := bench.Panel{Title: state + " guest", Unit: "seconds: shorter is better"}
		for _, way := range rep.Ways {
			p.Bars = append(p.Bars, bench.Bar{Label: way, Figure: bench.FigureOf(rep.of(state, way, seconds)), Ours: way == "sluice"})
		}
		d.Panels = append(d.Panels, p)
	}
	return d.Write(out)
}
