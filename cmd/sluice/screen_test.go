package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/virt-sluice/sluice/internal/stand"
)

// screen is a real terminal, one of tmux's, with a command on it that keeps what it has shown.
type screen struct {
	t       *testing.T
	dir     string
	columns int
}

const tmuxConfig = `
set -g status off
set -g history-limit 10000
set -g default-terminal screen-256color
`

// over is what the terminal gets last, a title that nobody sees. All that was written before has been
// taken in by then. That the program has ended says less: tmux then closes a terminal of which it
// has read all that was there, and what the kernel has yet to pass on is lost.
const over = "\x1b]2;over\a"

// onScreen runs sluice on a terminal of so many columns and rows, where what is typed arrives as it
// does in life. Shell commands may come before it.
func onScreen(t *testing.T, columns, rows int, before string, args ...string) *screen {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("tmux is missing: test/install installs it")
	}
	s := &screen{t: t, dir: stand.Folder(t), columns: columns}
	for name, content := range map[string]string{"conf": tmuxConfig, "raw": ""} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { exec.Command("tmux", "-S", s.path("tmux"), "kill-server").Run() })
	// The shell outlives Ctrl-C, tells the exit status, and keeps the terminal open.
	command := []string{"sh", "-c", `tmux wait-for begun; trap : INT; ` + before + ` sluice "$@"; echo $? >` + s.path("part") + `; mv ` + s.path("part") + ` ` + s.path("status") + `; printf %s "$OVER"; tmux wait-for never`, "sh"}
	s.tmux(append([]string{"-f", s.path("conf"), "new-session", "-d", "-e", "OVER=" + over, "-e", "TZ=UTC", "-x", strconv.Itoa(columns), "-y", strconv.Itoa(rows)}, append(command, args...)...)...)
	s.tmux("pipe-pane", "-O", "cat >"+s.path("raw"))
	s.tmux("wait-for", "-S", "begun")
	return s
}

func (s *screen) path(name string) string { return filepath.Join(s.dir, name) }

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", s.path("tmux")}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// shown is what the terminal shows and has shown, line by line.
func (s *screen) shown() string {
	s.t.Helper()
	return strings.TrimRight(s.tmux("capture-pane", "-p", "-S", "-"), "\n") + "\n"
}

// visible is what the terminal shows now.
func (s *screen) visible() string {
	s.t.Helper()
	return s.tmux("capture-pane", "-p")
}

// written is what has been written to the terminal by sluice, sequences included.
func (s *screen) written() string { return strings.TrimSuffix(s.raw(), over) }

func (s *screen) raw() string {
	s.t.Helper()
	data, err := os.ReadFile(s.path("raw"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

// fits checks that no line is longer than the terminal is wide: the terminal has wrapped none, and
// none is too long in a test's eyes either.
func (s *screen) fits() {
	s.t.Helper()
	joined := strings.TrimRight(s.tmux("capture-pane", "-pJ", "-S", "-"), "\n ")
	if n, want := strings.Count(joined, "\n"), strings.Count(strings.TrimRight(s.shown(), "\n"), "\n"); n != want {
		s.t.Errorf("%d columns: %d lines are wrapped:\n%s", s.columns, want-n, s.shown())
	}
	for line := range strings.SplitSeq(joined, "\n") {
		if n := runewidth.StringWidth(strings.TrimRight(line, " ")); n > s.columns {
			s.t.Errorf("%d columns: a line of %d: %q", s.columns, n, line)
		}
	}
}

// await waits for a text, of which nothing tells but looking.
func (s *screen) await(text string) {
	s.t.Helper()
	if !comes(func() bool { return strings.Contains(s.shown(), text) }) {
		s.t.Fatalf("%q does not appear on\n%s", text, s.shown())
	}
}

func (s *screen) ctrlC() { s.tmux("send-keys", "C-c") }

// wait is the exit status, once all has been shown.
func (s *screen) wait() int {
	s.t.Helper()
	if !appears(s.path("status")) {
		s.t.Fatalf("sluice does not end; it shows\n%s", s.shown())
	}
	status, err := os.ReadFile(s.path("status"))
	if err != nil {
		s.t.Fatal(err)
	}
	code, err := strconv.Atoi(strings.TrimSpace(string(status)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return code
}

// settle waits until the terminal has taken in all that was written, and written has it.
func (s *screen) settle() {
	s.t.Helper()
	if !comes(func() bool {
		return s.tmux("display-message", "-p", "#{pane_title}") == "over\n" && strings.HasSuffix(s.raw(), over)
	}) {
		s.t.Fatalf("the terminal does not get\n%q, but\n%q", over, s.raw())
	}
}

// comes looks until a thing is so.
func comes(is func() bool) bool {
	late := time.After(stand.Patience)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if is() {
			return true
		}
		select {
		case <-look.C:
		case <-late:
			return false
		}
	}
}
