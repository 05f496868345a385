package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// childPatience is how long a command may go on after its part of the stream is
// over in both directions.
const childPatience = 10 * time.Second

// child is a command whose standard input and output are a stream. It leads a process group of its
// own, which ends with the stream: by itself after an orderly end, else by SIGKILL before its input
// is closed, so that it never takes a broken stream for a complete one.
type child struct {
	duplex
	cmd    *exec.Cmd
	errors tail
	exited chan struct{} // closed when it has; it is reaped later

	outEnded, inClosed atomic.Bool // what it has written, and read, is at its end

	mu     sync.Mutex
	reaped bool // its number may be another's
	late   bool // it had to be killed after an orderly end
	state  *os.ProcessState
}

// start starts the command of an exec: address.
func start(a spec.Address) (*child, error) {
	words, err := a.Words()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	c := &child{duplex: duplex{at: a}, cmd: exec.Command(words[0], words[1:]...), exited: make(chan struct{})}
	stdin, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	defer stdin.Close()
	in, stdout, err := os.Pipe()
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	defer stdout.Close()
	c.in, c.out = in, out
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, stdout, &c.errors
	c.cmd.WaitDelay = time.Second // for standard error that a grandchild holds
	c.cmd.Env = childEnv(os.Environ())
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go c.follow(started)
	if err := <-started; err != nil {
		c.duplex.Close()
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	return c, nil
}

// childEnv leaves out what systemd has told this process alone.
func childEnv(env []string) (kept []string) {
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES":
		default:
			kept = append(kept, v)
		}
	}
	return kept
}

// follow starts the command and waits for its exit, on one thread: the kernel
// sends Pdeathsig when the thread ends that has started it.
func (c *child) follow(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	for unix.Waitid(unix.P_PID, c.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	close(c.exited)
}

// Read returns io.EOF when the command has ended its output and either takes
// input still or has ended with status 0.
func (c *child) Read(p []byte) (int, error) {
	n, err := c.duplex.Read(p)
	if err != io.EOF {
		return n, err
	}
	if !c.exiting() && c.takesInput() {
		c.outEnded.Store(true)
		return n, io.EOF
	}
	if err := c.end(); err != nil {
		return n, err
	}
	c.outEnded.Store(true)
	return n, io.EOF
}

func (c *child) Write(p []byte) (int, error) {
	n, err := c.duplex.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		err = errors.New("it has stopped reading")
		if failed := c.end(); failed != nil {
			err = fmt.Errorf("it has stopped reading: %w", failed)
		}
	}
	return n, err
}

func (c *child) CloseWrite() error {
	c.inClosed.Store(true)
	err := c.out.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// exiting reports whether the command has ended or is about to: the kernel says so (PF_EXITING,
// include/linux/sched.h) before it closes what the command has open, and closes that in no order.
func (c *child) exiting() bool {
	select {
	case <-c.exited:
		return true
	default:
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // behind its name: proc_pid_stat(5)
	if err != nil || len(fields) < 7 {
		return false
	}
	const exiting = 0x4
	flags, _ := strconv.ParseUint(string(fields[6]), 10, 64)
	return flags&exiting != 0
}

// takesInput reports whether somebody could still read what is written.
func (c *child) takesInput() bool {
	rc, err := c.out.SyscallConn()
	if err != nil {
		return false
	}
	poll := []unix.PollFd{{}}
	err = rc.Control(func(fd uintptr) {
		poll[0].Fd = int32(fd)
		unix.Poll(poll, 0)
	})
	return err == nil && poll[0].Revents&unix.POLLERR == 0
}

// Close ends the command, unless both directions are at their end, when it does so itself.
func (c *child) Close() error {
	if !c.outEnded.Load() || !c.inClosed.Load() {
		c.kill()
	}
	return c.duplex.Close()
}

func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL)
	}
}

// end waits for the command and all of its group, and returns nil if it has
// ended with status 0. It has childPatience to do so.
func (c *child) end() error {
	patience := time.NewTimer(childPatience)
	defer patience.Stop()
	select {
	case <-c.exited:
	case <-patience.C:
		c.mu.Lock()
		c.late = true
		c.mu.Unlock()
		c.kill()
		<-c.exited
	}
	c.kill() // whom it has left behind; until it is reaped its number is its own
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		c.reaped = true
		c.cmd.Wait() // its state says all
		c.state = c.cmd.ProcessState
	}
	if c.state.Success() {
		return nil
	}
	return fmt.Errorf("the command ended with %s", c.fate())
}

// fate is its end in words, after end.
func (c *child) fate() string {
	text := strings.Replace(c.state.String(), "exit status", "status", 1)
	if c.late {
		text += fmt.Sprintf(" (it went on for %v after the stream's end)", childPatience)
	}
	if said := c.errors.String(); said != "" {
		text += "; its last words: " + said
	}
	return text
}
