package bench

import (
	"fmt"
	"io"
	"strings"
)

// Plot writes the report as an SVG image: a panel for each work.
func (rep *Report) Plot(w io.Writer) error {
	m := rep.Machine
	d := Drawing{Title: "unix socket, relay, mutual TLS 1.3 (AES-128-GCM), relay, unix socket", Notes: []string{
		fmt.Sprintf("%s, %s, %d cores, Linux %s; %s", rep.Date, m.CPU, m.Cores, m.Kernel, rep.Network),
		fmt.Sprintf("medians of %d rounds of %d MiB or %d round trips, lines from least to most", rep.Rounds, rep.Size>>20, rep.Pings),
	}}
	for _, t := range rep.Tables {
		p := Panel{Title: t.Title, Unit: "GB per CPU-second, both relays together", Limit: t.Limit.Median}
		get := func(r Row) Figure { return r.PerCPU }
		if t.Timed {
			p.Unit, get = "p50 of the round trip, us: shorter is better", func(r Row) Figure {
				return Figure{r.P50.Median * 1e6, r.P50.Least * 1e6, r.P50.Most * 1e6}
			}
		}
		for _, r := range t.Rows {
			if r.Rounds > 0 {
				p.Bars = append(p.Bars, Bar{r.Contender, get(r), strings.HasPrefix(r.Contender, "sluice")})
			}
		}
		d.Panels = append(d.Panels, p)
	}
	return d.Write(w)
}
