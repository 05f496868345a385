package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// writeResult says how a migration ended, to a person: to out if the guest has moved, else to err.
func writeResult(io streams, r *control.Result) {
	w := io.out
	first := cmp.Or(oneLine(r.Message), fmt.Sprintf("%s: %s", oneLine(r.Guest), r.Outcome))
	if r.Outcome == control.Moved {
		fmt.Fprintln(w, strings.Join(wrap(first, columns(w)), "\n"))
	} else {
		w = io.err
		say(w, first)
	}
	if r.Cause != "" && !strings.Contains(r.Message, r.Cause) {
		field(w, "cause", r.Cause)
	}
	for _, text := range r.Warnings {
		field(w, "warning", text)
	}
	if len(r.DisksMade) > 0 {
		field(w, "disks", "made on "+r.Destination+": "+strings.Join(r.DisksMade, ", "))
	}
	if r.Carried > 0 {
		field(w, "carried", size(r.Carried)+channels(r.Channels)+average(r))
	}
	if r.Elapsed > 0 {
		field(w, "time", span(r.Elapsed)+downtime(r.Downtime))
	}
	if r.Carried > 0 || r.TLS != "" {
		field(w, "tls", security(r.TLS, r.Suite, r.Group))
	}
	if r.Path != "" {
		field(w, "path", r.Path)
	}
	if r.Session != "" {
		field(w, "session", r.Session)
	}
}

func channels(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return " in 1 channel"
	}
	return fmt.Sprintf(" in %d channels", n)
}

func average(r *control.Result) string {
	if r.Elapsed < time.Millisecond {
		return ""
	}
	return ", " + rate(uint64(float64(r.Carried)/r.Elapsed.Seconds())) + " on average"
}

func downtime(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return ", of which the guest was paused for " + span(d)
}

func security(tls, suite, group string) string {
	if tls == "" {
		return "none: the data went in clear"
	}
	return strings.Join(strings.Fields(oneLine(tls+" "+suite+" "+group)), " ")
}
