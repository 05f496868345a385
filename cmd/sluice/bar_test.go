package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The bar on terminals of several widths: what it shows in its midst, and what it leaves.
func TestBar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		columns  int
		bar      string // in the midst of it
		figures  string
		finished string
	}{
		{200, `memory     \d0% \[=+> +\] ETA 3s`,
			`1\.66 GiB of 4\.00 GiB  812 MiB/s  left 2\.34 GiB  dirty 12\.0 MiB/s  pass 2  2 channels`,
			`done      100% \[=+\]`},
		{120, `memory     \d0% \[=+> +\] ETA 3s`,
			`1\.66 GiB of 4\.00 GiB  812 MiB/s  left 2\.34 GiB  dirty 12\.0 MiB/s  pass 2  2 channels`,
			`done      100% \[=+\]`},
		{80, `memory     \d0% \[=+> +\] ETA 3s`,
			`1\.66 GiB of 4\.00 GiB  812 MiB/s  left 2\.34 GiB  dirty 12\.0 MiB/s  pass 2\x1b`, `done      100% \[=+\]`},
		{40, `memory     \d0% \[=*> +\] ETA 3s`, `1\.66 GiB of 4\.00 GiB  812 MiB/s\x1b`, `done      100% \[=+\]`},
		{24, `memory     \d0%`, `1\.66 GiB of 4\.00 GiB`, `done      100%`},
	} {
		s := onScreen(t, c.columns, 24, "", "migrate", "moves", "host-b", "--bandwidth", "100", "--socket", startStandin(t))
		if code := s.wait(); code != 0 {
			t.Fatalf("%d columns: exit status %d\n%s", c.columns, code, s.shown())
		}
		out := s.written()
		for _, want := range []string{c.bar, c.figures} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%d columns: no %s in\n%q", c.columns, want, out)
			}
		}
		if c.columns >= 80 {
			s.fits()
		}
		bar, result, found := strings.Cut(s.shown(), "\n")
		if !found || !regexp.MustCompile("^"+c.finished+" *$").MatchString(bar) || !strings.HasPrefix(result, "moves runs on host-b\n") {
			t.Errorf("%d columns: the screen is left with\n%s", c.columns, s.shown())
		}
		if c.columns >= 40 && !strings.Contains(result, "TLS_AES_128_GCM_SHA256") {
			t.Errorf("%d columns: the result is\n%s", c.columns, result)
		}
	}
}

// What a terminal shows of Ctrl-C stays out of the lines that follow.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{80, 120, 200} {
		s := onScreen(t, columns, 24, "", "migrate", "waits", "host-b", "--socket", startStandin(t))
		s.await("42%")
		s.ctrlC()
		if code := s.wait(); code != exitCancelled {
			t.Errorf("exit status %d, want %d", code, exitCancelled)
		}
		s.fits()
		for _, want := range []string{`(?m)^sluice: cancelling; waiting until`, `(?m)^memory     42% \[`, `(?m)^sluice: waits goes on at host-a$`} {
			if !regexp.MustCompile(want).MatchString(s.shown()) {
				t.Errorf("%d columns: the screen has no %q:\n%s", columns, want, s.shown())
			}
		}
		if strings.Contains(s.shown(), "^C") {
			t.Errorf("%d columns: ^C is left on\n%s", columns, s.shown())
		}
	}
}

// A terminal that gets narrower keeps nothing of the wider bar.
func TestBarOnANarrowerTerminal(t *testing.T) {
	t.Parallel()
	s := onScreen(t, 120, 24, "", "migrate", "waits", "host-b", "--socket", startStandin(t))
	s.await("42%")
	s.tmux("resize-window", "-x", "60", "-y", "24")
	tty := strings.TrimSpace(s.tmux("display-message", "-p", "#{pane_tty}"))
	if !comes(func() bool { // tmux tells it after a while
		size, err := exec.Command("stty", "-F", tty, "size").Output()
		return err == nil && string(size) == "24 60\n"
	}) {
		t.Fatal("the terminal has not become narrower")
	}
	s.ctrlC()
	s.wait()
	if n := strings.Count(s.visible(), "memory     42%"); n != 1 {
		t.Errorf("%d bars are left on\n%s", n, s.visible())
	}
}

// Terminals that do not know their size, as serial lines and some that programs make.
func TestTerminalWithoutSize(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"rows 0", "rows 0 cols 0"} {
		s := onScreen(t, 80, 24, "stty "+size+";", "migrate", "moves", "host-b", "--bandwidth", "100", "--socket", startStandin(t))
		if code := s.wait(); code != 0 {
			t.Fatalf("exit status %d\n%s", code, s.shown())
		}
		if !regexp.MustCompile(`memory     \d0% \[=+> +\] ETA 3s`).MatchString(s.written()) || !strings.HasPrefix(s.shown(), "done      100% [=") {
			t.Errorf("stty %s: written is\n%q\nshown is\n%s", size, s.written(), s.shown())
		}
	}
}

// Where the cursor can't be moved there are plain lines, and no sequences.
func TestDumbTerminal(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"export TERM=dumb;", "unset TERM;"} {
		s := onScreen(t, 120, 24, before, "migrate", "moves", "host-b", "--socket", startStandin(t))
		if code := s.wait(); code != 0 {
			t.Fatalf("exit status %d\n%s", code, s.shown())
		}
		if out := s.shown(); !strings.Contains(out, "\nmemory     42%  1.66 GiB") || !strings.Contains(out, "\nmoves runs on host-b\n") {
			t.Errorf("%s the terminal shows\n%s", before, out)
		}
		if !comes(func() bool { return strings.Contains(s.written(), "session   s-1\r\n") }) || strings.Contains(s.written(), "\x1b") {
			t.Errorf("%s the terminal got\n%q", before, s.written())
		}
	}
}
