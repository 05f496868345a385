package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/virt-sluice/sluice/bench"
)

// report is what a run has measured.
type report struct {
	Date         string        `json:"date"`
	Machine      bench.Machine `json:"machine"`
	Congestion   string        `json:"tcp_congestion_control"`
	Link         int           `json:"link_mib_per_second"`
	Guests       []string      `json:"guests"`
	Ways         []string      `json:"ways"`
	Measurements []measurement `json:"measurements"`
	Musts        []must        `json:"musts"`
}

// of are the measurements of a guest.
func (rep *report) of(guest string) (all []measurement) {
	for _, m := range rep.Measurements {
		if m.Guest == guest {
			all = append(all, m)
		}
	}
	return all
}

// unmeasured is an error if something could not be measured.
func (rep *report) unmeasured() error {
	var errs []error
	for _, m := range rep.Measurements {
		if m.Error != "" {
			errs = append(errs, errors.New(m.line()))
		}
	}
	return errors.Join(errs...)
}

// line is a measurement for a person who waits for the next.
func (m *measurement) line() string {
	switch {
	case m.Error != "":
		return fmt.Sprintf("%s, %s: not measured: %s", m.Guest, m.Way, m.Error)
	case !m.Moved:
		return fmt.Sprintf("%s, %s: not moved in %.1f s: %s", m.Guest, m.Way, m.Seconds, m.Why)
	}
	return fmt.Sprintf("%s, %s: moved in %.1f s, silent for %.2f s", m.Guest, m.Way, m.Seconds, m.Silence)
}

// Write writes the report for a person.
func (rep *report) Write(out io.Writer) error {
	fmt.Fprint(out, rep.Machine.Heading(rep.Date))
	fmt.Fprintf(out, "a link of %d MiB/s between two hosts of the lab, TCP %s; times in seconds\n", rep.Link, rep.Congestion)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, guest := range rep.Guests {
		fmt.Fprintf(w, "\n%s\tmoved\ttime\tdowntime\tsilence\twork lost\n", guest)
		for _, m := range rep.of(guest) {
			if m.Error != "" {
				fmt.Fprintf(w, "  %s\tnot measured\n", m.Way)
				continue
			}
			moved, down := "no", ""
			if m.Moved {
				moved = "yes"
			}
			if m.Downtime != nil {
				down = fmt.Sprintf("%.2f", *m.Downtime)
			}
			fmt.Fprintf(w, "  %s\t%s\t%.1f\t%s\t%.2f\t%.1f (%.0f %%)\n", m.Way, moved, m.Seconds, down, m.Silence, m.Lost, m.LostPercent())
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, m := range rep.Musts {
		met := "met:    "
		if !m.Met {
			met = "NOT met:"
		}
		fmt.Fprintf(out, "%s %s\n", met, m.Text)
		for _, why := range m.Why {
			fmt.Fprintf(out, "         %s\n", why)
		}
	}
	for _, m := range rep.Measurements {
		if m.Error != "" || !m.Moved {
			fmt.Fprintf(out, "\n%s\n", m.line())
		}
	}
	return nil
}

// Plot writes the report as an SVG image.
func (rep *report) Plot(out io.Writer) error {
	d := bench.Drawing{Title: "guests that are moved over a link of " + fmt.Sprint(rep.Link) + " MiB/s", Notes: []string{
		fmt.Sprintf("%s, %s, %d cores, Linux %s; TCP %s", rep.Date, rep.Machine.CPU, rep.Machine.Cores, rep.Machine.Kernel, rep.Congestion),
		"the longest time in which the guest itself printed nothing; ways that did not move it are left out",
	}}
	for _, guest := range rep.Guests {
		p := bench.Panel{Title: guest, Unit: "seconds of silence: shorter is better"}
		for _, m := range rep.of(guest) {
			if m.Moved {
				p.Bars = append(p.Bars, bench.Bar{Label: m.Way, Figure: bench.FigureOf([]float64{m.Silence}), Ours: !fixed(m.Way)})
			}
		}
		d.Panels = append(d.Panels, p)
	}
	return d.Write(out)
}
