package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// section is a part of the status: what it is about, and its lines. Brief are fewer lines, for a
// screen that has no room for all that goes on now.
type section struct {
	title        string
	lines, brief []string
	now          bool // is about what goes on now
}

// statusScreen is st for a person, what matters most first. width is in columns, 0: any. now is the
// reader's time, for ages.
func statusScreen(st *control.Status, now time.Time, width int) []section {
	all := []section{
		hostSection(st, now, width),
		warningsSection(st, now, width),
		leavingSection(st.Leaving, now, width),
		sessionsSection(st.Sessions, now, width),
		endedSection(st.Ended, now, width),
		tunnelsSection(st.Tunnels, now, width),
		peersSection(st, width),
		interceptSection(st.Intercept, width),
		certificatesSection(st, now, width),
		confinementSection(st.Confinement, width),
	}
	var some []section
	for _, s := range all {
		if s.title != "" || len(s.lines) > 0 {
			some = append(some, s)
		}
	}
	return some
}

// whole is all of the sections.
func whole(sections []section) []string {
	var lines []string
	for i, s := range sections {
		if i > 0 {
			lines = append(lines, "")
		}
		if s.title != "" {
			lines = append(lines, s.title)
		}
		lines = append(lines, s.lines...)
	}
	return lines
}

// fitted is as much of the sections as so many rows take, the first sections first. A last line says
// what is left out.
func fitted(sections []section, rows, width int) []string {
	if all := whole(sections); len(all) <= rows {
		return all
	}
	full := len(whole(slices.DeleteFunc(slices.Clone(sections), func(s section) bool { return !s.now }))) < rows
	rows-- // for the last line
	var lines, missing []string
	for i, s := range sections {
		head := 2 // a blank line, and the title
		if i == 0 {
			head = 0
		}
		room := rows - len(lines) - head
		body := s.lines
		if s.brief != nil && !full {
			body = s.brief
		}
		if room < min(2, len(body)) {
			if s.title != "" {
				missing = append(missing, s.title)
			}
			continue
		}
		if i > 0 {
			lines = append(lines, "", s.title)
		}
		if len(body) > room {
			body = append(body[:room-1:room-1], fmt.Sprintf("%s… %d more lines", margin, len(body)-room+1))
		}
		lines = append(lines, body...)
	}
	more := "More: sluice status"
	if len(missing) > 0 {
		more = fmt.Sprintf("More: %s (sluice status)", strings.Join(missing, ", "))
	}
	return append(lines[:min(len(lines), rows)], wrap(more, width)[0])
}

// hostSection says which daemon it is.
func hostSection(st *control.Status, now time.Time, width int) section {
	text := fmt.Sprintf("%s: sluice %s, up %s, listens on %s, libvirt at %s", oneLine(st.Name), oneLine(st.Version),
		coarse(now.Sub(st.Started)), oneLine(st.Listen), oneLine(st.Libvirt))
	if st.Draining {
		text += ", draining: accepts no new sessions"
	}
	lines := wrap(text, width)
	for _, e := range st.Earlier {
		text := fmt.Sprintf("An earlier sluice (%s, process %d, up %s) finishes what it has: ", oneLine(e.Version), e.PID, coarse(now.Sub(e.Started)))
		if e.Error != "" {
			text += "it can't be asked: " + oneLine(e.Error)
		} else {
			text += fmt.Sprintf("%d sessions, listed below", e.Sessions)
		}
		lines = append(lines, wrap(text, width)...)
	}
	return section{lines: lines, now: true}
}

// warningsSection is what someone has to look after.
func warningsSection(st *control.Status, now time.Time, width int) section {
	var lines []string
	warn := func(format string, args ...any) {
		lines = append(lines, indented(margin, fmt.Sprintf(format, args...), width)...)
	}
	n := 0
	for _, text := range configurationWarnings(&st.Configuration, now) {
		n++
		warn("%s", text)
	}
	for _, e := range st.Certificates.Expiry {
		switch {
		case e.Seconds < 0:
			warn("%s certificate %s has run out: renew it", e.What, e.Subject)
		case e.Warn:
			warn("%s certificate %s runs out in %s: renew it", e.What, e.Subject, left(e))
		default:
			continue
		}
		n++
	}
	for _, e := range st.Certificates.ReloadErrors {
		n++
		warn("reload failed %s ago: %s", coarse(now.Sub(e.At)), e.Error)
	}
	for _, text := range st.Certificates.Warnings {
		n++
		warn("%s", text)
	}
	if st.History.Problem != "" {
		n++
		warn("history is not kept: %s", st.History.Problem)
	}
	if n == 0 {
		return section{}
	}
	return section{title: fmt.Sprintf("Warnings: %d", n), lines: lines, now: true}
}

func peersSection(st *control.Status, width int) section {
	s := section{title: fmt.Sprintf("Peers: %d", len(st.Peers)) + ofPatterns(st.Patterns)}
	if len(st.Peers) == 0 {
		return s
	}
	t := table{columns: []column{{"NAME", 0}, {"ADDRESS", 0}, {"CERTIFICATE NAMES", 1}, {"PRIORITY", 2}, {"SOCKET", 3}}}
	for _, p := range st.Peers {
		t.row(p.Name, p.Address, strings.Join(p.Names, " "), p.Priority, p.Socket)
	}
	s.lines = t.lines(width)
	return s
}

func interceptSection(st *control.InterceptStatus, width int) section {
	if st == nil {
		return section{}
	}
	on := "off"
	if st.On {
		on = "on"
	}
	return section{title: "Interception: " + on, lines: interceptLines(st, width)}
}

// certificatesSection says which certificates are in use and how long they last, and how TLS is.
func certificatesSection(st *control.Status, now time.Time, width int) section {
	c := st.Certificates
	if c.Why == "" {
		return section{} // of an older daemon
	}
	s := section{title: fmt.Sprintf("Certificates: %d", len(c.Expiry))}
	s.lines = indented(margin, fmt.Sprintf("%s; loaded %s ago; TLS priority %s", c.Why, coarse(now.Sub(c.Loaded)), st.Priority), width)
	if st.AES != "" { // else of an older daemon
		s.lines = append(s.lines, indented(margin, "AES-GCM: "+st.AES, width)...)
	}
	t := table{columns: []column{{"USED AS", 0}, {"SUBJECT", 0}, {"ENDS", 1}, {"LEFT", 0}}}
	for _, e := range c.Expiry {
		t.row(e.What, e.Subject, e.NotAfter.UTC().Format("2006-01-02 15:04 UTC"), left(e))
	}
	s.lines = append(s.lines, t.lines(width)...)
	return s
}

// left is how long a certificate lasts.
func left(e control.Expiry) string {
	if e.Seconds < 0 {
		return "over"
	}
	return coarse(time.Duration(e.Seconds) * time.Second)
}
