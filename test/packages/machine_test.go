package packages

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/roots"
	"github.com/virt-sluice/sluice/internal/stand"
)

// A network is a bridge in a network namespace of its own, for machines.
type network struct {
	t    *testing.T
	ctx  context.Context
	init *exec.Cmd // keeps the namespace
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, ctx: t.Context(), init: exec.Command("sleep", "infinity")}
	n.init.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := n.init.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.init.Process.Kill()
		n.init.Wait()
	})
	n.run("ip", "link", "add", bridge, "type", "bridge")
	n.run("ip", "link", "set", bridge, "up")
	return n
}

const bridge = "sluice"

// wmem is what the packages set, and is no namespace's.
const wmem = "/proc/sys/net/core/wmem_default"

// command is one in the network.
func (n *network) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(n.init.Process.Pid), "-n"}, args...)...)
}

func (n *network) run(args ...string) {
	n.t.Helper()
	if out, err := n.command(n.ctx, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// A machine is a Debian release, booted: systemd is its first process. What it writes is gone when
// the test ends.
type machine struct {
	t    *testing.T
	ctx  context.Context
	name string
	pid  int // of its systemd
}

// boot boots a release in a network. It finds the folder share at /share.
func (n *network) boot(suite, name, address, share string) *machine {
	n.t.Helper()
	root, err := roots.Open(n.ctx, suite)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { root.Close() })
	at := filepath.Join(stand.Folder(n.t), "notify")
	notes, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: at})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { notes.Close() })
	log := new(bytes.Buffer)
	c := n.command(context.Background(), "systemd-nspawn", "--quiet", "--boot", "--directory="+root.Dir, "--volatile=overlay",
		"--machine="+name, "--hostname="+name, "--network-bridge="+bridge, "--register=no", "--keep-unit", "--private-users=no",
		"--bind-ro="+share+":/share", "--console=pipe", "--notify-ready=yes")
	// The releases' systemd knows no other hierarchy of cgroups than the unified one.
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+at, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGTERM}
	if err := c.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	m := &machine{t: n.t, ctx: n.ctx, name: name}
	n.t.Cleanup(func() {
		c.Process.Signal(unix.SIGTERM) // nspawn has it powered off
		select {
		case <-ended:
		case <-time.After(stand.Patience):
			c.Process.Kill()
			<-ended
		}
		if n.t.Failed() {
			n.t.Logf("%s:\n%s", name, log)
		}
	})
	m.pid = leader(n.t, notes)
	// The machines have this one's kernel: no package's sysctl.d is to set it.
	m.must("mount", "--bind", wmem, wmem)
	m.must("mount", "-o", "remount,bind,ro", wmem)
	m.must("ip", "address", "add", address+"/24", "dev", "host0")
	m.must("ip", "link", "set", "host0", "up")
	return m
}

// leader waits until a machine has booted, and is its first process (sd_notify(3), systemd-nspawn(1)
// under --notify-ready).
func leader(t *testing.T, notes *net.UnixConn) (pid int) {
	t.Helper()
	notes.SetReadDeadline(time.Now().Add(bootPatience))
	text := make([]byte, 4096)
	for {
		k, err := notes.Read(text)
		if err != nil {
			t.Fatalf("the machine does not boot: %v", err)
		}
		for line := range strings.SplitSeq(string(text[:k]), "\n") {
			if value, is := strings.CutPrefix(line, "X_NSPAWN_LEADER_PID="); is {
				if pid, err = strconv.Atoi(value); err != nil {
					t.Fatal(err)
				}
			}
			if line == "READY=1" && pid > 0 {
				return pid
			}
		}
	}
}

// bootPatience is for two machines at once, on a busy one.
const bootPatience = 3 * time.Minute

// run runs a command on the machine.
func (m *machine) run(args ...string) (string, error) {
	out, err := exec.CommandContext(m.ctx, "nsenter", m.enter(args...)...).CombinedOutput()
	return string(out), err
}

// enter are nsenter's arguments for a command on the machine.
func (m *machine) enter(args ...string) []string {
	return append([]string{"-t", strconv.Itoa(m.pid), "-a", "env", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}, args...)
}

// must is run for what has to succeed.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, err := m.run(args...)
	if err != nil {
		m.t.Fatalf("%s: %v: %v\n%s", m.name, args, err, out)
	}
	return out
}

// put writes a file on the machine.
func (m *machine) put(path, text string) {
	m.t.Helper()
	m.must("sh", "-c", `mkdir -p "$(dirname "$0")" && printf %s "$1" >"$0"`, path, text)
}

// path is where this machine finds a file of the machine's.
func (m *machine) path(path string) string {
	return filepath.Join("/proc", strconv.Itoa(m.pid), "root", path)
}

// there says whether a file is.
func (m *machine) there(path string) bool {
	_, err := os.Lstat(m.path(path))
	return err == nil
}
