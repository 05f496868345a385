package main

import (
	"regexp"
	"strings"
	"testing"
)

// The bar on terminals of several widths: what it shows last, and that it
// never takes a third line, which would leave rubbish behind on each redraw.
func TestBar(t *testing.T) {
	for _, c := range []struct {
		columns  int
		bar      string // in the midst of it
		figures  string
		finished string
	}{
		{120, `memory     \d0% \[=+>? +\] ETA 3s`,
			`1\.66 GiB of 4\.00 GiB  812 MiB/s  left 2\.34 GiB  dirty 12\.0 MiB/s  pass 2  2 channels`,
			`done      100% \[=+\]`},
		{80, `memory     \d0% \[=+>? +\] ETA 3s`,
			`1\.66 GiB of 4\.00 GiB  812 MiB/s  left 2\.34 GiB  dirty 12\.0 MiB/s  pass 2\s`, `done      100% \[=+\]`},
		{40, `memory     \d0% \[=+>? +\] ETA 3s`, `1\.66 GiB of 4\.00 GiB  812 MiB/s\s`, `done      100% \[=+\]`},
		{20, `memory     \d0%`, `1\.66 GiB of 4\.00 GiB`, `done      100%`},
	} {
		socket := startStandin(t)
		term := onTerminal(t, c.columns, "migrate", "moves", "host-b", "--bandwidth", "100", "--socket", socket)
		if code := term.wait(); code != 0 {
			t.Fatalf("%d columns: exit status %d\n%s", c.columns, code, term.Text())
		}
		out := term.Text()
		for _, want := range []string{c.bar, c.figures} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%d columns: no %s in\n%q", c.columns, want, out)
			}
		}
		bars, result, found := strings.Cut(out, "moves runs on host-b")
		if !found {
			t.Fatalf("%d columns: no result in\n%q", c.columns, out)
		}
		s, err := show(c.columns, bars)
		if err != nil {
			t.Fatalf("%d columns: %v", c.columns, err)
		}
		if s.wrapped > 0 || len(s.rows) > 3 || !regexp.MustCompile("^"+c.finished).MatchString(s.String()) {
			t.Errorf("%d columns: the bar leaves, with %d lines wrapped,\n%s", c.columns, s.wrapped, s)
		}
		if !strings.Contains(result, "TLS_AES_128_GCM_SHA256") {
			t.Errorf("%d columns: the result is\n%s", c.columns, result)
		}
	}
}

func TestCtrlC(t *testing.T) {
	term := onTerminal(t, 80, "migrate", "waits", "host-b", "--socket", startStandin(t))
	term.await("42%")
	term.ctrlC()
	if code := term.wait(); code != exitCancelled {
		t.Errorf("exit status %d, want %d", code, exitCancelled)
	}
	s, err := show(80, term.Text())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sluice: cancelling; ", "memory     42%", "sluice: waits goes on at host-a"} {
		if !strings.Contains(s.String(), want) {
			t.Errorf("the screen has no %q:\n%s", want, s)
		}
	}
}

// A daemon that hangs is left with a second Ctrl-C, and no claim is made.
func TestCtrlCTwice(t *testing.T) {
	term := onTerminal(t, 80, "migrate", "hangs", "host-b", "--socket", startStandin(t))
	term.await("42%")
	term.ctrlC()
	term.await("cancelling")
	term.ctrlC()
	if code := term.wait(); code != exitUnknown {
		t.Errorf("exit status %d, want %d", code, exitUnknown)
	}
	if out := term.Text(); !strings.Contains(out, "interrupted twice") || !strings.Contains(out, "look where hangs runs") {
		t.Errorf("the terminal got\n%q", out)
	}
}

// A terminal of unknown size, as some have that are made by programs.
func TestTerminalWithoutSize(t *testing.T) {
	term := onTerminal(t, 0, "migrate", "moves", "host-b", "--socket", startStandin(t))
	if code := term.wait(); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	if out := term.Text(); !strings.Contains(out, "memory     42%") || !strings.Contains(out, "moves runs on host-b") || strings.Contains(out, "\x1b") {
		t.Errorf("the terminal got\n%q", out)
	}
}
