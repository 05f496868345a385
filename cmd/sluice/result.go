package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
)

// writeResult says how a migration ended, to a person: to out if the guest has moved, else to err.
func writeResult(io streams, r *control.Result) {
	w := io.out
	first := oneLine(r.Message)
	if first == "" {
		first = fmt.Sprintf("%s: %s", oneLine(r.Guest), r.Outcome)
	}
	if r.Outcome != control.Moved {
		w = io.err
		first = "sluice: " + first
	}
	fmt.Fprintln(w, first)
	if r.Cause != "" && !strings.Contains(r.Message, r.Cause) {
		fmt.Fprintf(w, "  cause     %s\n", oneLine(r.Cause))
	}
	for _, text := range r.Warnings {
		fmt.Fprintf(w, "  warning   %s\n", oneLine(text))
	}
	if r.Carried > 0 {
		fmt.Fprintf(w, "  carried   %s%s%s\n", size(r.Carried), channels(r.Channels), average(r))
	}
	if r.Elapsed > 0 {
		fmt.Fprintf(w, "  time      %s%s\n", span(r.Elapsed), downtime(r.Downtime))
	}
	if r.Carried > 0 || r.TLS != "" {
		fmt.Fprintf(w, "  security  %s\n", security(r.TLS, r.Suite))
	}
	if r.Path != "" {
		fmt.Fprintf(w, "  path      %s\n", oneLine(r.Path))
	}
	if r.Session != "" {
		fmt.Fprintf(w, "  session   %s\n", oneLine(r.Session))
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

func security(tls, suite string) string {
	if tls == "" {
		return "none: the data went in clear"
	}
	return strings.TrimSpace(oneLine(tls) + " " + oneLine(suite))
}
