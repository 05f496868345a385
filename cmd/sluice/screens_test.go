package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the screens that the tests see to testdata/screens")

// Every screen at the widths that people have: nothing is wrapped by the terminal, and all is where
// testdata/screens shows it.
func TestScreens(t *testing.T) {
	t.Parallel()
	fleet := startStandin(t, "fleet")
	for _, c := range []struct {
		name string
		rows int
		args []string
	}{
		{"status", 50, []string{"status", "--socket", fleet}},
		{"peers", 24, []string{"status", "--peers", "--socket", fleet}},
		{"history", 24, []string{"history", "--socket", fleet}},
		{"report", 60, []string{"report", "web1.example.org", "--socket", fleet}},
		{"check", 24, []string{"check", "--all-peers", "--socket", fleet}},
		{"explain", 24, []string{"explain", "host-a: nothing heard from host-b (192.0.2.2:16514) for 30s (limits.idle_timeout): the link is down, or the host is frozen"}},
		{"explain-nothing", 24, []string{"explain"}},
		{"moved", 24, []string{"migrate", "moves", "host-b", "--socket", fleet}},
		{"failed", 24, []string{"migrate", "fails", "host-b", "--socket", fleet}},
		{"lost", 24, []string{"migrate", "lost", "host-b", "--socket", fleet}},
		{"no-daemon", 24, []string{"status", "--socket", "/nonexistent/control.sock"}},
		{"wrong-option", 24, []string{"migrate", "web1", "host-b", "--graphicsuri", "spice://host-b:5900"}},
		{"wrong-command", 24, []string{"statsu"}},
		{"wrong-configuration", 24, []string{"serve", "--config", "testdata/faults.toml"}},
		{"priority", 24, []string{"priority", "SECURE256:-CIPHER-ALL:+AES-256-CCM:+AES-256-GCM"}},
	} {
		for _, columns := range []int{60, 80, 120, 200} {
			if c.name == "wrong-option" && columns < 80 {
				continue // it has a URI, which is left whole to be copied
			}
			t.Run(fmt.Sprintf("%s-%d", c.name, columns), func(t *testing.T) {
				s := onScreen(t, columns, c.rows, "", c.args...)
				s.wait()
				s.fits()
				s.is(fmt.Sprintf("%s-%d", c.name, columns), s.shown())
				if at := sgr.FindString(s.written()); at != "" {
					t.Errorf("it has colours: %q", at)
				}
			})
		}
	}
}

// is compares a screen with its file.
func (s *screen) is(name, got string) {
	s.t.Helper()
	path := filepath.Join("testdata", "screens", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if got != string(want) {
		s.t.Errorf("%s (go test -run %s -update writes it) is\n%s\nwant\n%s", path, s.t.Name(), got, want)
	}
}

// A watched status has no more lines than the terminal, shows sessions before peers, and says what it
// leaves out.
func TestWatchedStatus(t *testing.T) {
	t.Parallel()
	for _, scenario := range []string{"fleet", "sessions"} {
		socket := startStandin(t, scenario)
		for _, columns := range []int{60, 80, 120, 200} {
			s := onScreen(t, columns, 24, "", "status", "--watch", "--socket", socket)
			s.await("More: ")
			s.is(fmt.Sprintf("watch-%s-%d", scenario, columns), s.visible())
			s.fits()
			if !comes(func() bool { return strings.Count(s.written(), "\x1b[H") >= 3 }) {
				t.Fatalf("it is not shown again:\n%q", s.written())
			}
			s.is(fmt.Sprintf("watch-%s-%d", scenario, columns), s.visible())
			s.tmux("resize-window", "-x", fmt.Sprint(columns), "-y", "40") // the next one has more
			if !comes(func() bool { return strings.Count(strings.TrimRight(s.visible(), "\n"), "\n") >= 37 }) {
				t.Errorf("a larger terminal shows\n%s", s.visible())
			}
			s.ctrlC()
			if code := s.wait(); code != 0 {
				t.Errorf("exit status %d", code)
			}
		}
	}
}

// Where the cursor can't be moved it is shown again below.
func TestWatchedOnADumbTerminal(t *testing.T) {
	t.Parallel()
	s := onScreen(t, 120, 24, "export TERM=dumb;", "status", "--watch", "--socket", startStandin(t, "fleet"))
	if !comes(func() bool { return strings.Count(s.shown(), "host-a: sluice v0") >= 2 }) {
		t.Fatalf("it is not shown again:\n%s", s.shown())
	}
	s.ctrlC()
	s.wait()
	s.fits()
	if strings.Contains(s.written(), "\x1b") {
		t.Errorf("the terminal got\n%q", s.written())
	}
}

// Every command's help.
func TestHelpScreens(t *testing.T) {
	t.Parallel()
	root := newRoot(streams{})
	root.InitDefaultHelpCmd()
	cmds := []*cobra.Command{root}
	for i := 0; i < len(cmds); i++ {
		cmds = append(cmds, cmds[i].Commands()...)
		for _, columns := range []int{80, 200} {
			s := onScreen(t, columns, 24, "", append(strings.Fields(cmds[i].CommandPath())[1:], "--help")...)
			if code := s.wait(); code != 0 {
				t.Errorf("%s --help: exit status %d\n%s", cmds[i].CommandPath(), code, s.shown())
			}
			s.fits()
		}
	}
}

// sgr sets a colour, or anything else about how characters look (ECMA-48, SGR).
var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Only the log has colours, and only on a terminal that has them, of a user who wants them
// (no-color.org).
func TestColours(t *testing.T) {
	t.Parallel()
	log := []string{"tunnel", "--listen", "exec:true", "--to", "exec:cat"} // ends by itself
	for before, coloured := range map[string]bool{
		"export TERM=xterm;":            true,
		"export TERM=xterm NO_COLOR=1;": false,
		"export TERM=dumb;":             false,
	} {
		s := onScreen(t, 80, 24, before, log...)
		if code := s.wait(); code != 0 || !strings.Contains(s.shown(), "listening") {
			t.Errorf("%s exit status %d\n%s", before, code, s.shown())
		}
		if got := sgr.MatchString(s.written()); got != coloured {
			t.Errorf("%s colours: %t, want %t\n%q", before, got, coloured, s.written())
		}
	}
	out, err := exec.Command("sluice", log...).CombinedOutput()
	if err != nil || bytes.ContainsRune(out, 0x1b) {
		t.Errorf("without a terminal: %v\n%q", err, out)
	}
}
