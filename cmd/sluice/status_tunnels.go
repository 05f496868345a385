package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
)

// writeTunnels shows each tunnel with its connections under way, and of those
// that ended the ones that failed.
func writeTunnels(w io.Writer, tunnels []control.TunnelStatus, now time.Time) {
	if len(tunnels) == 0 {
		return
	}
	fmt.Fprintf(w, "\nTunnels: %d\n", len(tunnels))
	table(w, "NAME\tLISTENS AT\tTO\tTLS\tWHY\tLIVE\tDONE\tFAILED\tSENT\tRECEIVED\tCERTIFICATES", func(row rowFunc) {
		for _, t := range tunnels {
			state := fmt.Sprint(len(t.Connections))
			if t.Over {
				state = "over"
			}
			row(t.Name, t.Address, t.To, tunnelTLS(t), fmt.Sprintf("%s (tls: %s)", t.TLSWhy, cmp.Or(t.TLS, "unset")), state,
				fmt.Sprint(t.Done), fmt.Sprint(t.Failed), size(t.Sent), size(t.Received), t.Certificates)
			for _, c := range t.Connections {
				row(fmt.Sprintf("  connection %d", c.Number), c.From, blank, tls(c.TLS, c.Suite), c.Path, coarse(now.Sub(c.Started)), blank, blank, size(c.Sent), size(c.Received), blank)
			}
		}
	})
	for _, t := range tunnels {
		for _, c := range t.Ended {
			if c.Cause != "" {
				fmt.Fprintf(w, "  %s: connection %d from %s failed %s ago: %s\n", oneLine(t.Name), c.Number, oneLine(c.From), coarse(now.Sub(c.Ended)), oneLine(c.Cause))
			}
		}
		if t.Own == nil {
			continue
		}
		for _, e := range t.Own.ReloadErrors {
			fmt.Fprintf(w, "  %s: reload failed %s ago: %s\n", oneLine(t.Name), coarse(now.Sub(e.At)), oneLine(e.Error))
		}
		for _, text := range t.Own.Warnings {
			fmt.Fprintf(w, "  %s: warning: %s\n", oneLine(t.Name), oneLine(text))
		}
	}
}

// tunnelTLS says what is in effect, and on which side.
func tunnelTLS(t control.TunnelStatus) string {
	if len(t.TLSSides) == 0 {
		return t.TLSInEffect
	}
	return t.TLSInEffect + ", " + strings.Join(t.TLSSides, " and ")
}
