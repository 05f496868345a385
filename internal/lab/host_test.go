package lab

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHost(t *testing.T) {
	l := bringUp(t, Options{})
	t.Run("Command", func(t *testing.T) { testCommand(t, l.A) })
	t.Run("CommandKilled", func(t *testing.T) { testCommandKilled(t, l.A) })
	t.Run("Folders", func(t *testing.T) { testFolders(t, l) })
	t.Run("Link", func(t *testing.T) { testLink(t, l) })
	t.Run("UnixSocket", func(t *testing.T) { testUnixSocket(t, l.B) })
	t.Run("Virsh", func(t *testing.T) { testVirsh(t, l.A) })
	t.Run("Leftovers", func(t *testing.T) { testLeftovers(t, l.B) })
}

func testCommand(t *testing.T, h *Host) {
	ctx := deadline(t, 20*time.Second)
	out, err := h.Command(ctx, "sh", "-c", "hostname; pwd; cat /proc/1/cmdline").Output()
	wd, _ := os.Getwd()
	if want := HostA + "\n" + wd + "\n" + initName; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("got %q, %v, want %q…", out, err, want)
	}

	_, err = h.Command(ctx, "sh", "-c", "echo no >&2; exit 7").Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 7 || string(exit.Stderr) != "no\n" {
		t.Errorf("got %v with %q, want exit status 7", err, exit.Stderr)
	}
	if err := h.Command(ctx, "no-such-program").Run(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want %v", err, exec.ErrNotFound)
	}
	// What runs an exec.Cmd and knows nothing of hosts must not run it on the machine.
	if err := h.Command(ctx, "true").Cmd.Run(); err == nil {
		t.Error("a host's command ran on the machine")
	}

	c := h.Command(ctx, "cat")
	c.Stdin = strings.NewReader("through")
	if out, err := c.CombinedOutput(); string(out) != "through" || err != nil {
		t.Errorf("cat: %q, %v", out, err)
	}
}

func testCommandKilled(t *testing.T, h *Host) {
	ctx, cancel := context.WithCancel(t.Context())
	c := h.Command(ctx, "sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if pids, err := h.Processes("sleep"); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
		t.Errorf("Process is %d, sleep is %v (%v)", c.Process.Pid, pids, err)
	}
	cancel()
	if err := c.Wait(); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("Wait: %v", err)
	}
	if pids, err := h.Processes("sleep"); err != nil || len(pids) != 0 {
		t.Errorf("sleep is still %v (%v)", pids, err)
	}

	c = h.Command(t.Context(), "sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	c.Process.Signal(unix.SIGTERM)
	exit, _ := errors.AsType[*exec.ExitError](c.Wait())
	if exit == nil || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGTERM {
		t.Errorf("after SIGTERM: %v", exit)
	}
}

func testFolders(t *testing.T, l *Lab) {
	for _, folder := range append(privateFolders(), "/etc") {
		name := filepath.Join(folder, "sluice-lab-test")
		if err := os.WriteFile(l.A.Path(name), nil, 0o600); err != nil {
			t.Error(err)
		}
		for _, path := range []string{name, l.B.Path(name)} {
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s of host A is seen as %s: %v", name, path, err)
			}
		}
	}
	shared := filepath.Join(t.TempDir(), "shared")
	if err := l.A.Command(t.Context(), "touch", shared).Run(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(shared); err != nil {
		t.Error(err)
	}
}

func testUnixSocket(t *testing.T, h *Host) {
	const path = "/run/sluice-lab-test.sock"
	serve(t, h, "unix", path, func(net.Conn) {})
	inside, err := h.Dial(deadline(t, 10*time.Second), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	inside.Close()
	outside, err := net.Dial("unix", h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	outside.Close()
}

func testVirsh(t *testing.T, h *Host) {
	if out, err := h.Virsh(t.Context(), "hostname"); out != HostA || err != nil {
		t.Errorf("virsh hostname = %q, %v", out, err)
	}
	_, err := h.Virsh(t.Context(), "domstate", "nobody")
	if err == nil || !strings.Contains(err.Error(), "failed to get domain 'nobody'") {
		t.Errorf("virsh domstate nobody: %v", err)
	}
	_, err = h.Virsh(deadline(t, 300*time.Millisecond), "event", "--all", "--loop")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a virsh that waits for ever ended with %v", err)
	}
}

func testLeftovers(t *testing.T, h *Host) {
	if left, err := h.Leftovers(t.Context()); len(left) > 0 || err != nil {
		t.Fatalf("a fresh host has %q, %v", left, err)
	}
	folder := filepath.Join(SessionsFolder, "1")
	if err := os.MkdirAll(h.Path(folder), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := h.Listen(t.Context(), "tcp", ":49152")
	if err != nil {
		t.Fatal(err)
	}
	err = h.WaitClean(deadline(t, 100*time.Millisecond))
	for _, want := range []string{"session file " + folder, "TCP listener on migration port 49152"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	ln.Close()
	if err := os.RemoveAll(h.Path(SessionsFolder)); err != nil {
		t.Fatal(err)
	}
	if err := h.WaitClean(deadline(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}
