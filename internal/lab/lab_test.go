package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	if n := descriptors(t); n != fds {
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

// TestSideBySide brings up two labs that have the same addresses, and checks that each host sees its own lab's.
func TestSideBySide(t *testing.T) {
	labs := []*Lab{bringUp(t, Options{}), bringUp(t, Options{})}
	for i, l := range labs {
		ln, err := l.B.Listen(t.Context(), "tcp", HostB+":7")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%d", i)
				c.Close()
			}
		}()
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

// childVariable tells this test binary, executed again, which of the children below to be.
const childVariable = "SLUICE_LAB_TEST_CHILD"

// startChild executes this test binary again to run one of the functions below, and returns it with the line that it prints when ready.
func startChild(t *testing.T, test, what string) (*exec.Cmd, string) {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run=^"+test+"$")
	c.Env = append(os.Environ(), childVariable+"="+what)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("child: %v", err)
	}
	return c, strings.TrimSpace(line)
}

// TestKilledParent kills, by SIGKILL, a process that has a lab with a guest in it.
func TestKilledParent(t *testing.T) {
	Require(t)
	if os.Getenv(childVariable) != "" {
		l := bringUp(t, Options{})
		if _, err := l.A.StartGuest(t.Context(), GuestSpec{Name: "g", MemoryMiB: 16}); err != nil {
			t.Fatal(err)
		}
		fmt.Println(l.Name)
		select {}
	}
	before := machine(t)
	child, name := startChild(t, "TestKilledParent", "lab")
	l, err := Attach(name)
	if err != nil {
		t.Fatal(err)
	}
	pids := processes(t, l)
	if qemu, err := l.A.Processes(qemuProgram); err != nil || len(qemu) != 1 {
		t.Errorf("QEMU processes: %v, %v", qemu, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	child.Process.Kill()
	err = poll(deadline(t, 10*time.Second), "the lab to vanish", 10*time.Millisecond, func() (bool, error) {
		return !slices.ContainsFunc(pids, alive), nil
	})
	if err != nil {
		t.Error(err)
	}
	if labs, err := List(); err != nil || labs[name] != nil {
		t.Errorf("List still has %v, %v", labs[name], err)
	}
	if after := machine(t); after != before {
		t.Errorf("before the lab:\n%s\nafter:\n%s", before, after)
	}
}

// TestKilledExec kills a process that runs a command in a lab which is not its own.
func TestKilledExec(t *testing.T) {
	if name := os.Getenv(childVariable); name != "" {
		l, err := Attach(name)
		if err != nil {
			t.Fatal(err)
		}
		c := l.B.Command(t.Context(), "sleep", "1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		fmt.Println(c.Process.Pid)
		c.Wait()
		return
	}
	l := bringUp(t, Options{Persist: true})
	child, line := startChild(t, "TestKilledExec", l.Name)
	var pid int
	fmt.Sscan(line, &pid)
	err := poll(deadline(t, 10*time.Second), "the command to start", 10*time.Millisecond, func() (bool, error) {
		pids, err := l.B.Processes("sleep")
		return slices.Contains(pids, pid), err
	})
	if err != nil {
		t.Fatal(err)
	}
	child.Process.Kill()
	err = poll(deadline(t, 10*time.Second), "the command to die with its parent", 10*time.Millisecond, func() (bool, error) {
		return !alive(pid), nil
	})
	if err != nil {
		t.Error(err)
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
