package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// site is a folder with a configuration that is right.
func site(t *testing.T) (dir, config string) {
	t.Helper()
	s := stand.New(t, "sluice")
	return s.Dir, configure(t, s, "host-a", s.Dir, "[peers.host-b]\naddress = '127.0.0.1:1'\n")
}

// configure writes the configuration of a host of the stand into a folder, where its run folder is
// as well. tables follow what every host has.
func configure(t *testing.T, s *stand.Stand, name, dir, tables string) (path string) {
	t.Helper()
	text := fmt.Sprintf("name = '%s'\nlisten = '127.0.0.1:0'\nrun_dir = '%s/run'\nqemu_user = '%d'\nlibvirt_socket = '%[2]s/none'\n[certificates]\ndir = '%[4]s'\nlayout = 'qemu'\n",
		name, dir, os.Getuid(), s.Path(name))
	path = filepath.Join(dir, "sluice.toml")
	if err := os.WriteFile(path, []byte(text+tables), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The whole daemon as systemd runs it: it says when it is ready, answers, takes
// SIGTERM for a drain, and leaves nothing in its run folder.
func TestServe(t *testing.T) {
	dir, config := site(t)
	if out, err := exec.Command("sluice", "serve", "--check", "--config", config).CombinedOutput(); err != nil || !strings.Contains(string(out), "no fault found") {
		t.Fatalf("--check: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "run")); err == nil {
		t.Error("--check makes the run folder")
	}

	notify := filepath.Join(dir, "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: notify})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	systemd.SetReadDeadline(time.Now().Add(20 * time.Second))
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 256)
		for {
			n, err := systemd.Read(buf)
			if err == nil && want != string(buf[:n]) && strings.HasPrefix(string(buf[:n]), "STATUS=") {
				continue
			}
			if err != nil || string(buf[:n]) != want {
				t.Fatalf("systemd is told %q (%v), want %q", buf[:n], err, want)
			}
			return
		}
	}
	log := new(strings.Builder)
	daemon := exec.Command("sluice", "serve", "--config", config)
	daemon.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
	daemon.Stderr = log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Process.Kill()
	told("READY=1\nSTATUS=migrations under way: 0, peers: 1")

	batched(t, daemon.Process.Pid)

	socket := filepath.Join(dir, "run/control.sock")
	out, err := exec.Command("sluice", "status", "--json", "--socket", socket).Output()
	if err != nil {
		t.Fatal(err)
	}
	var st control.Status
	if err := json.Unmarshal(out, &st); err != nil || st.Name != "host-a" || len(st.Peers) != 1 || st.Peers[0].Name != "host-b" {
		t.Errorf("status %s, %v", out, err)
	}
	second, err := exec.Command("sluice", "serve", "--config", config).CombinedOutput()
	if err == nil || !strings.Contains(string(second), "in use by another sluice") {
		t.Errorf("a second daemon in one run folder: %v\n%s", err, second)
	}

	daemon.Process.Signal(syscall.SIGTERM)
	told("STOPPING=1")
	if err := daemon.Wait(); err != nil {
		t.Errorf("after a drain: %v", err)
	}
	// The journals are for the next daemon, and have nothing in them.
	left, _ := filepath.Glob(filepath.Join(dir, "run", "*"))
	left = slices.DeleteFunc(left, func(path string) bool {
		inside, _ := os.ReadDir(path)
		name := filepath.Base(path)
		return (name == "arrivals" || name == "disks" || name == "departures") && len(inside) == 0
	})
	if len(left) > 0 {
		t.Errorf("left in the run folder: %v", left)
	}
	for line := range strings.Lines(log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line that is no JSON: %s", line)
		}
	}
}

// On a terminal the log is for people, in colour where that is wanted.
func TestServeOnATerminal(t *testing.T) {
	for _, c := range []struct {
		before string
		colour bool
	}{{"", true}, {"export NO_COLOR=1;", false}, {"export TERM=dumb;", false}} {
		_, config := site(t)
		s := onScreen(t, 100, 24, c.before, "serve", "--config", config)
		s.await("ready")
		s.ctrlC()
		if code := s.wait(); code != 0 {
			t.Errorf("exit status %d", code)
		}
		if out := s.shown(); !strings.Contains(out, "INF") || strings.Contains(out, `{"level"`) {
			t.Errorf("the terminal shows\n%s", out)
		}
		if strings.Contains(s.written(), "\x1b[") != c.colour {
			t.Errorf("%s the terminal got\n%q", c.before, s.written())
		}
	}
}
