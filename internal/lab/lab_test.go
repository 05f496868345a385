package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/stand"
)

// bringUp brings up a lab that goes down with the test.
func bringUp(t *testing.T, opts Options) *Lab {
	t.Helper()
	Require(t)
	l, err := Up(deadline(t, time.Minute), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// serve listens on a host until the test ends, and hands over each connection.
func serve(t *testing.T, h *Host, network, address string, handle func(c net.Conn)) {
	t.Helper()
	l, err := h.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	stand.Serve(t, l, handle)
}

// machine is what a lab could leave behind on the machine, but for processes.
func machine(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	namespaces, _ := os.ReadDir("/run/netns")
	return fmt.Sprintf("mounts:\n%slinks: %v\nnetns: %v", mounts, names, namespaces)
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestDownLeavesNothing(t *testing.T) {
	Require(t)
	exec.Command("true").Run() // makes the runtime open what it keeps
	before, fds := machine(t), descriptors(t)

	l, err := Up(deadline(t, time.Minute), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pids := processes(t, l)
	// One command that was never waited for would keep the host's pid 1 from ending.
	forgotten := l.A.Command(t.Context(), "sleep", "1000")
	if err := forgotten.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.Down(); err != nil {
		t.Fatal(err)
	}
	if err := forgotten.Wait(); err == nil {
		t.Error("a command outlived its lab")
	}
	if err := forgotten.Run(); err == nil {
		t.Error("a command could be started in a lab that is down")
	}

	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d outlived its lab", pid)
		}
	}
	if after := machine(t); after != before {
		t.Errorf("before the lab:\n%s\nafter:\n%s", before, after)
	}
	if n := descriptors(t); n > fds {
		t.Errorf("%d file descriptors after, %d before", n, fds)
	}
	if _, err := Attach(l.Name); err == nil {
		t.Error("a lab that is down can be attached to")
	}
}

func TestUpTwice(t *testing.T) {
	l := bringUp(t, Options{})
	if _, err := Up(t.Context(), Options{Name: l.Name}); err == nil {
		t.Error("a second lab of the same name came up")
	}
	if _, err := Up(t.Context(), Options{Name: "a/b"}); err == nil {
		t.Error("a lab came up with a slash in its name")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Up(ctx, Options{Name: "cancelled"}); err == nil {
		t.Error("a lab came up although its context had ended")
	}
	if labs, err := List(); err != nil || labs["cancelled"] != nil {
		t.Errorf("after a failed Up, List says %v, %v", labs, err)
	}
	if err := l.Down(); err != nil {
		t.Fatal(err)
	}
	again := bringUp(t, Options{Name: l.Name})
	if out, err := again.B.Virsh(t.Context(), "hostname"); err != nil || out != HostB {
		t.Errorf("virsh hostname = %q, %v", out, err)
	}
}

// TestSideBySide brings up two labs that have the same addresses, and checks that each host sees
// its own lab's.
func TestSideBySide(t *testing.T) {
	labs := []*Lab{bringUp(t, Options{}), bringUp(t, Options{})}
	for i, l := range labs {
		serve(t, l.B, "tcp", HostB+":7", func(c net.Conn) { fmt.Fprintf(c, "%d", i) })
	}
	for i, l := range labs {
		c, err := l.A.Dial(deadline(t, 10*time.Second), "tcp", HostB+":7")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var got int
		if _, err := fmt.Fscan(c, &got); err != nil || got != i {
			t.Errorf("lab %d reached lab %d (%v)", i, got, err)
		}
	}
}

// processes returns the pids of every process of the lab.
func processes(t *testing.T, l *Lab) []int {
	t.Helper()
	var all []int
	for _, h := range l.Hosts() {
		pids, err := h.Processes("")
		if err != nil {
			t.Fatal(err)
		}
		if len(pids) < 2 { // pid 1 and libvirtd
			t.Fatalf("%s has the processes %v", h.Name, pids)
		}
		all = append(all, pids...)
	}
	return all
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }
