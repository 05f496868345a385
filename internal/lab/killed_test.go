package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable tells this test binary, executed again, which of the children below to be.
const childVariable = "SLUICE_LAB_TEST_CHILD"

// startChild executes this test binary again to run one of the functions below, and returns it with
// the line that it prints when ready.
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

// TestHalf takes down what is left of a lab that has lost a host.
func TestHalf(t *testing.T) {
	l := bringUp(t, Options{Persist: true})
	unix.PidfdSendSignal(l.A.pidfd, unix.SIGKILL, nil, 0)
	if err := l.A.gone(); err != nil {
		t.Fatal(err)
	}
	half, err := Attach(l.Name)
	if half == nil || err == nil || !strings.Contains(err.Error(), "only host-b is left") {
		t.Fatalf("Attach: %v, %v", half, err)
	}
	if err := half.Down(); err != nil {
		t.Error(err)
	}
	if labs, err := List(); err != nil || labs[l.Name] != nil {
		t.Errorf("List still has %v, %v", labs[l.Name], err)
	}
}
