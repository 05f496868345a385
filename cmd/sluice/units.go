package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/virt-sluice/sluice/internal/units"
)

func size(n uint64) string { return units.Size(n) }

func rate(n uint64) string { return units.Rate(n) }

// span is a duration with as many digits as matter to a person.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return coarse(d)
}

// coarse is a duration in whole seconds, and in whole minutes from an hour up.
func coarse(d time.Duration) string {
	if d < time.Hour {
		return d.Round(time.Second).String()
	}
	if d < 24*time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	days, hours := d/(24*time.Hour), d%(24*time.Hour)/time.Hour
	if hours == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%dh", days, hours)
}

// tidy makes text from elsewhere (guests' names, peers' causes) safe for a
// terminal: what does not print, but for line ends and tabs, is replaced.
func tidy(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\n' || unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// oneLine is tidy for a place that has one line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(tidy(s)), " ")
}
