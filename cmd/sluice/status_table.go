package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
)

// writeStatus is st as tables. now is the reader's time, for ages.
func writeStatus(w io.Writer, st *control.Status, now time.Time) {
	draining := ""
	if st.Draining {
		draining = ", draining: accepts no new sessions"
	}
	fmt.Fprintf(w, "%s: sluice %s, up %s, listens on %s, libvirt at %s%s\n", oneLine(st.Name), oneLine(st.Version),
		coarse(now.Sub(st.Started)), oneLine(st.Listen), oneLine(st.Libvirt), draining)

	if st.AES != "" { // else of an older daemon
		fmt.Fprintf(w, "AES-GCM: %s\n", oneLine(st.AES))
	}

	writeCertificates(w, st, now)

	if st.Intercept != nil {
		fmt.Fprintln(w)
		writeIntercept(w, st.Intercept)
	}

	writeLeaving(w, st.Leaving, now)

	fmt.Fprintf(w, "\nSessions: %d\n", len(st.Sessions))
	if len(st.Sessions) > 0 {
		table(w, "GUEST\tDIR\tPEER\tPHASE\tSENT\tRECEIVED\tRATE\tPATH\tTLS\tSECURED BY\tAGE\tSESSION", func(row rowFunc) {
			for _, s := range st.Sessions {
				row(guest(s), s.Direction, s.Peer, s.Phase, size(s.Sent), size(s.Received), rate(s.Rate), s.Path, tls(s.TLS, s.Suite), securedBy(s), coarse(now.Sub(s.Started)), s.ID)
				for _, c := range s.Channels {
					row("  "+c.Name, blank, blank, open(c.Open), size(c.Sent), size(c.Received), blank, c.Path, tls(c.TLS, c.Suite), blank, blank, blank)
				}
			}
		})
	}

	fmt.Fprintf(w, "\nEnded: %d\n", len(st.Ended))
	if len(st.Ended) > 0 {
		table(w, "GUEST\tDIR\tPEER\tOUTCOME\tBYTES\tTOOK\tENDED\tPATH\tTLS\tSECURED BY\tCAUSE", func(row rowFunc) {
			for _, s := range st.Ended {
				row(guest(s), s.Direction, s.Peer, s.Outcome, size(s.Sent+s.Received), span(s.Ended.Sub(s.Started)), coarse(now.Sub(s.Ended))+" ago", s.Path, tls(s.TLS, s.Suite), securedBy(s), s.Cause)
			}
		})
	}

	writeTunnels(w, st.Tunnels, now)

	fmt.Fprintf(w, "\nPeers: %d\n", len(st.Peers))
	if len(st.Peers) > 0 {
		table(w, "NAME\tADDRESS\tCERTIFICATE NAMES\tPRIORITY\tSOCKET", func(row rowFunc) {
			for _, p := range st.Peers {
				row(p.Name, p.Address, strings.Join(p.Names, " "), p.Priority, p.Socket)
			}
		})
	}
}

// writeCertificates says which certificates are in use, how long they last, and
// what was not taken over.
func writeCertificates(w io.Writer, st *control.Status, now time.Time) {
	c := st.Certificates
	if c.Why == "" {
		return // of an older daemon
	}
	fmt.Fprintf(w, "\nCertificates: %s; loaded %s ago; TLS priority %s\n", oneLine(c.Why), coarse(now.Sub(c.Loaded)), oneLine(st.Priority))
	table(w, "USED AS\tSUBJECT\tENDS\tLEFT", func(row rowFunc) {
		for _, e := range c.Expiry {
			left := coarse(time.Duration(e.Seconds) * time.Second)
			switch {
			case e.Seconds < 0:
				left = "over"
			case e.Warn:
				left += ", renew it"
			}
			row(e.What, e.Subject, e.NotAfter.UTC().Format("2006-01-02 15:04 UTC"), left)
		}
	})
	for _, e := range c.ReloadErrors {
		fmt.Fprintf(w, "  Reload failed %s ago: %s\n", coarse(now.Sub(e.At)), oneLine(e.Error))
	}
	for _, text := range c.Warnings {
		fmt.Fprintf(w, "  Warning: %s\n", oneLine(text))
	}
}

type rowFunc func(cells ...string)

// blank is a cell that has no meaning in its row; an empty one is shown as a dash.
const blank = " "

func table(w io.Writer, head string, rows func(rowFunc)) {
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, head)
	rows(func(cells ...string) {
		for i, c := range cells {
			lead := c[:len(c)-len(strings.TrimLeft(c, " "))]
			if cells[i] = lead + oneLine(c); cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	})
	tw.Flush() // into memory
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, "  "+strings.TrimRight(line, " \n"))
	}
}

// guest names a session: connections of libvirt clients have no guest, and
// of intercepted ones it is not known.
func guest(s control.SessionStatus) string {
	return cmp.Or(s.Guest, s.UUID, s.Intended, "("+s.Kind+")")
}

// securedBy says who keeps a guest's memory and disks secret on the way.
func securedBy(s control.SessionStatus) string {
	switch {
	case s.Disks == "" || s.Disks == s.Memory:
		return s.Memory
	case s.Memory == "":
		return s.Disks
	}
	return "memory: " + s.Memory + ", disks: " + s.Disks
}

func open(is bool) string {
	if is {
		return "open"
	}
	return "closed"
}

func tls(version, suite string) string {
	if version == "" {
		return "none"
	}
	return strings.TrimSpace(version + " " + suite)
}
