package main

import (
	"fmt"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
)

// phases are the words for a person; what is not here stands for itself.
var phases = map[string]string{
	control.PhasePost: "post-copy",
}

func phaseWord(p control.Progress) string {
	if w, ok := phases[p.Phase]; ok {
		return w
	}
	return oneLine(p.Phase)
}

// percent is that of p in whole numbers, and 100 only when all is through.
func percent(p control.Progress) int {
	n := int(p.Percent)
	if p.Phase == control.PhaseDone {
		return 100
	}
	return max(0, min(n, 99))
}

// fields are what is known of a migration's progress, the more important first.
func fields(p control.Progress) []string {
	var f []string
	if p.Total > 0 {
		f = append(f, fmt.Sprintf("%s of %s", size(p.Processed), size(p.Total)))
	} else if p.Carried > 0 {
		f = append(f, size(p.Carried))
	}
	if p.Rate > 0 || p.Total > 0 {
		f = append(f, rate(p.Rate))
	}
	if p.Total > 0 {
		f = append(f, "left "+size(p.Remaining), "dirty "+rate(p.DirtyRate))
	}
	if p.Iteration > 1 {
		f = append(f, fmt.Sprintf("pass %d", p.Iteration))
	}
	switch {
	case p.Channels == 1:
		f = append(f, "1 channel")
	case p.Channels > 1:
		f = append(f, fmt.Sprintf("%d channels", p.Channels))
	}
	return f
}

// eta is how long it will take as things stand.
func eta(p control.Progress) string {
	if p.ETA <= 0 {
		return ""
	}
	return "ETA " + coarse(p.ETA)
}

// progressLine is p on a line of any length.
func progressLine(p control.Progress) string {
	parts := []string{fmt.Sprintf("%-9s %3d%%", phaseWord(p), percent(p))}
	parts = append(parts, fields(p)...)
	if e := eta(p); e != "" {
		parts = append(parts, e)
	}
	return strings.Join(parts, "  ")
}

// fit joins as many fields as width has room for, from the first on.
func fit(fields []string, width int) string {
	const gap = "  "
	line := ""
	for _, f := range fields {
		next := f
		if line != "" {
			next = line + gap + f
		}
		if len(next) > width {
			break
		}
		line = next
	}
	return line
}
