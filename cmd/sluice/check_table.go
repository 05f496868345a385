package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/virt-sluice/sluice/proxy/control"
)

// writeReport is r as tables, one for each host, no wider than columns if that is known.
func writeReport(w io.Writer, r *control.Report, columns int) error {
	var b strings.Builder
	widest := 0
	for _, f := range r.Findings {
		widest = max(widest, runewidth.StringWidth(f.Check))
	}
	var peer string
	for i, f := range r.Findings {
		if i == 0 || f.Peer != peer {
			peer = f.Peer
			b.WriteString(heading(r, peer, i > 0))
		}
		margin := fmt.Sprintf("  %-7s  %s  ", oneLine(f.Result), runewidth.FillRight(oneLine(f.Check), widest))
		indent := strings.Repeat(" ", runewidth.StringWidth(margin))
		for _, line := range wrap(oneLine(f.Text), columns-len(indent)) {
			b.WriteString(margin + line + "\n")
			margin = indent
		}
		if f.Remedy == "" {
			continue
		}
		margin = indent + "-> "
		for _, line := range wrap(oneLine(f.Remedy), columns-len(indent)-3) {
			b.WriteString(margin + line + "\n")
			margin = indent + "   "
		}
	}
	fmt.Fprintf(&b, "\n%s, %s\n", count(r.Errors, "error"), count(r.Warnings, "warning"))
	_, err := io.WriteString(w, b.String())
	return err
}

func heading(r *control.Report, peer string, blank bool) string {
	gap := ""
	if blank {
		gap = "\n"
	}
	if peer != "" {
		return fmt.Sprintf("%s%s, from %s\n", gap, oneLine(peer), oneLine(r.Host))
	}
	by := "by its configuration and files"
	if r.By == control.ByDaemon {
		by = "by its daemon"
	}
	return fmt.Sprintf("%s%s, %s\n", gap, oneLine(cmp.Or(r.Host, "this host")), by)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
