package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// tunnelsSection is each tunnel with its connections under way, and of those that ended the ones
// that failed.
func tunnelsSection(tunnels []control.TunnelStatus, now time.Time, width int) section {
	if len(tunnels) == 0 {
		return section{}
	}
	t := table{columns: []column{
		{"NAME", 0}, {"LISTENS AT", 0}, {"TO", 0}, {"TLS", 1}, {"WHY", 6}, {"LIVE", 0}, {"DONE", 2}, {"FAILED", 0}, {"SENT", 3}, {"RECEIVED", 4}, {"CERTIFICATES", 5},
	}}
	for _, tunnel := range tunnels {
		state := fmt.Sprint(len(tunnel.Connections))
		if tunnel.Over {
			state = "over"
		}
		r := t.row(tunnel.Name, tunnel.Address, tunnel.To, tunnelTLS(tunnel), fmt.Sprintf("%s (tls: %s)", tunnel.TLSWhy, cmp.Or(tunnel.TLS, "unset")), state,
			fmt.Sprint(tunnel.Done), fmt.Sprint(tunnel.Failed), size(tunnel.Sent), size(tunnel.Received), tunnel.Certificates)
		for _, c := range tunnel.Ended {
			if c.Cause != "" {
				r.add(fmt.Sprintf("connection %d from %s failed %s ago: %s", c.Number, c.From, coarse(now.Sub(c.Ended)), c.Cause))
			}
		}
		if tunnel.Own != nil {
			for _, e := range tunnel.Own.ReloadErrors {
				r.add(fmt.Sprintf("reload failed %s ago: %s", coarse(now.Sub(e.At)), e.Error))
			}
			for _, text := range tunnel.Own.Warnings {
				r.add("warning: " + text)
			}
		}
		for _, c := range tunnel.Connections {
			t.row(fmt.Sprintf("  connection %d", c.Number), c.From, blank, tls(c.TLS, c.Suite, "", c.Path), c.Path, coarse(now.Sub(c.Started)), blank, blank, size(c.Sent), size(c.Received), blank)
		}
	}
	return section{title: fmt.Sprintf("Tunnels: %d", len(tunnels)), lines: t.lines(width)}
}

// tunnelTLS says what is in effect, and on which side.
func tunnelTLS(t control.TunnelStatus) string {
	if len(t.TLSSides) == 0 {
		return t.TLSInEffect
	}
	return t.TLSInEffect + ", " + strings.Join(t.TLSSides, " and ")
}
