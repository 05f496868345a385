package main

import (
	"fmt"
	"io"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
)

// writeLeaving shows the guests whose destination was asked to take them over, until it is settled
// what becomes of them.
func writeLeaving(w io.Writer, leaving []control.DepartureStatus, now time.Time) {
	if len(leaving) == 0 {
		return
	}
	fmt.Fprintf(w, "\nLeaving: %d\n", len(leaving))
	table(w, "GUEST\tTO\tASKED\tHERE\tTHERE\tLAST HEARD\tSESSION", func(row rowFunc) {
		for _, d := range leaving {
			here := "paused"
			if d.Stopped {
				here = "stopped"
			}
			there := d.Verdict
			if there == "" {
				there = "not known"
			}
			row(d.Guest, d.Peer, coarse(now.Sub(d.Asked))+" ago", here, there, d.Last, d.Session)
		}
	})
	for _, d := range leaving {
		if d.Overdue {
			fmt.Fprintf(w, "  Nobody can tell whether %s runs on %s, which is asked again and again. If %s can't come back, look there, then: sluice resolve %s --there, or sluice resolve %s --here\n",
				oneLine(d.Guest), oneLine(d.Peer), oneLine(d.Peer), oneLine(d.Guest), oneLine(d.Guest))
		}
	}
}
