package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Write writes the report for a person.
func (rep *Report) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(rep.Machine.Heading(rep.Date))
	if far := rep.Far; far != nil {
		fmt.Fprintf(&b, "to %s, %d cores, %s, %s; load %s\n", far.CPU, far.Cores, far.Kernel, far.System, far.Load)
	}
	fmt.Fprintf(&b, "%s; mutual TLS 1.3 with %s\n", rep.Network, suite)
	fmt.Fprintf(&b, "medians of %d rounds (least to most); MiB: the most resident memory of each relay, sending and receiving\n", rep.Rounds)
	fmt.Fprintf(&b, "AES-128-GCM, seal and open, in CPU-s/GB: sluice %.3f (%s), Go %.3f", rep.medianAES(func(a AES) float64 { return a.Sluice }), rep.Choice, rep.medianAES(func(a AES) float64 { return a.Go }))
	if rep.OpenSSL != "" {
		fmt.Fprintf(&b, ", %s %.3f", rep.OpenSSL, rep.medianAES(func(a AES) float64 { return a.OpenSSL }))
	}
	b.WriteString("\nlimit: splice and the best of these, in each round; own limit: splice and sluice's\n\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, e := range rep.Entrants {
		fmt.Fprintf(t, "%s\t%s\t%s\n", e.Name, e.Version, e.Settings)
	}
	t.Flush()
	if len(rep.Missing) > 0 {
		fmt.Fprintf(&b, "not installed, so missing here: %s\n", strings.Join(rep.Missing, ", "))
	}
	for _, table := range rep.Tables {
		rep.write(&b, table)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (rep *Report) write(b *strings.Builder, table Table) {
	fmt.Fprintf(b, "\n%s", table.Title)
	var best []string
	if table.Timed {
		best = append(best, table.Best.P50+" in p50", table.Best.P99+" in p99")
	}
	if table.Bulk {
		best = append(best, table.Best.PerCPU+" in GB/CPU-s", table.Best.PerSecond+" in GB/s")
	}
	if table.Best != (Best{}) {
		fmt.Fprintf(b, " (best of the others: %s)", strings.Join(best, ", "))
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	head := "  "
	if table.Timed {
		head += "\tp50 us\tto best\tp99 us\tto best\tp99.9 us"
	}
	if table.beside() {
		head += "\tslowest\tfastest"
	}
	if table.Bulk {
		head += "\tGB/CPU-s\tto best\tof limit\tof own limit\tGB/s\tto best\tCPU-s/GB sending\treceiving"
	}
	fmt.Fprintln(t, head+"\tMiB\tset-up ms")
	var errs []string
	for _, r := range table.Rows {
		if r.Error != "" {
			errs = append(errs, fmt.Sprintf("  %s failed %d of %d times: %s", r.Contender, rep.Rounds-r.Rounds, rep.Rounds, strings.Join(strings.Fields(r.Error), " ")))
		}
		if r.Rounds == 0 {
			continue
		}
		fmt.Fprintf(t, "  %s", r.Contender)
		if table.Timed {
			fmt.Fprintf(t, "\t%s\t%.2f\t%s\t%.2f\t%s", r.P50.show(1e6, 0), r.Against.P50, r.P99.show(1e6, 0), r.Against.P99, r.P999.show(1e6, 0))
		}
		if table.beside() {
			fmt.Fprintf(t, "\t%s\t%s", r.Slowest.show(1, 2), r.Fastest.show(1, 2))
		}
		if table.Bulk {
			fmt.Fprintf(t, "\t%s\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%.3f\t%.3f", r.PerCPU.show(1, 2), r.Against.PerCPU, r.Share, r.OwnShare,
				r.PerSecond.show(1, 2), r.Against.PerSecond, r.CPUSend, r.CPUTake)
		}
		fmt.Fprintf(t, "\t%.1f %.1f\t%s\n", r.RSSSend.Median/(1<<20), r.RSSTake.Median/(1<<20), r.Connect.show(1e3, 1))
	}
	if table.Limit.Median > 0 {
		fmt.Fprintf(t, "  limit\t%s\n", table.Limit.show(1, 2))
		fmt.Fprintf(t, "  own limit\t%s\n", table.OwnAES.show(1, 2))
	}
	t.Flush()
	for _, e := range errs {
		fmt.Fprintln(b, e)
	}
}

// beside reports whether round trips were timed beside bulk work.
func (t *Table) beside() bool { return t.Bulk && t.Timed }

func (rep *Report) medianAES(f func(AES) float64) float64 {
	var v []float64
	for _, a := range rep.AES {
		v = append(v, f(a))
	}
	return Median(v)
}

// show writes a figure in a unit, with so many digits behind the point.
func (f Figure) show(unit float64, digits int) string {
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, f.Median*unit, digits, f.Least*unit, digits, f.Most*unit)
}
