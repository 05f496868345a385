package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Cmd is an exec.Cmd whose process runs in a host. Process is that very process, a child of this
// one, with the number that the machine knows it by. It is killed when this process ends or the lab
// is taken down.
//
// The embedded Cmd refuses to be started by itself: that would run it on the machine.
type Cmd struct {
	*exec.Cmd
	host    *Host
	lookErr error // what exec.Command found wrong with the name

	waitOnce sync.Once
	waitErr  error
}

var errNotInside = errors.New("the command of a host was started as a plain exec.Cmd, which would run it on the machine")

// Command returns a command that will run in all of the host's namespaces, in this process's
// working folder, and that is killed when ctx ends. Wait gives the output 5 seconds more after the
// process has ended, should its children hold it open (WaitDelay).
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	program, folder := h.lookUp(name)
	c := &Cmd{Cmd: exec.CommandContext(ctx, program, args...), host: h}
	c.Args[0] = name
	c.lookErr, c.Err = c.Err, errNotInside
	c.Env = append(os.Environ(), "PATH="+hostPath(), "LC_ALL=C.UTF-8")
	c.Dir = folder
	c.WaitDelay = 5 * time.Second
	return c
}

// Start is like [exec.Cmd.Start].
func (c *Cmd) Start() error {
	c.Err = c.lookErr
	if c.host.lab.lifeline == nil && c.Err == nil {
		// The host outlives this process, and its commands must not. SysProcAttr.Pdeathsig cannot
		// see to it: a child in another pid namespace takes the parent that it cannot see for dead,
		// and kills itself (forkAndExecInChild1 in package syscall).
		c.Args = append([]string{"setpriv", "--pdeathsig", "KILL", "--", c.Path}, c.Args[1:]...)
		c.Path = "/usr/bin/setpriv"
	}
	if err := c.host.inside("start "+c.Args[0], c.Cmd.Start); err != nil {
		return err
	}
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	c.host.commands[c] = struct{}{}
	return nil
}

// Wait is like [exec.Cmd.Wait]; it may be called more than once, and from several goroutines.
func (c *Cmd) Wait() error {
	c.waitOnce.Do(func() {
		c.waitErr = c.Cmd.Wait()
		c.host.mu.Lock()
		defer c.host.mu.Unlock()
		delete(c.host.commands, c)
	})
	return c.waitErr
}

// Run is like [exec.Cmd.Run].
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output is like [exec.Cmd.Output].
func (c *Cmd) Output() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	if c.Stderr == nil {
		c.Stderr = &stderr
	}
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		exit.Stderr = stderr.Bytes()
	}
	return stdout.Bytes(), err
}

// CombinedOutput is like [exec.Cmd.CombinedOutput].
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err := c.Run()
	return both.Bytes(), err
}

// hostPath is PATH with the folders of system programs, which an ordinary user's lacks.
func hostPath() string {
	path := strings.Split(os.Getenv("PATH"), ":")
	for _, folder := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !slices.Contains(path, folder) {
			path = append(path, folder)
		}
	}
	return strings.Join(path, ":")
}

// lookPath finds a program on hostPath; a name that is not there is left to exec.Command to
// complain about.
func lookPath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for folder := range strings.SplitSeq(hostPath(), ":") {
		if path, err := exec.LookPath(folder + "/" + name); folder != "" && err == nil {
			return path
		}
	}
	return name
}

// lookUp finds a program in the host, and the folder to run it in: this process's, if the host has
// the same. Of a lab that is closed it finds neither, and Start fails.
func (h *Host) lookUp(name string) (program, folder string) {
	program, folder = name, "/"
	wd, err := os.Getwd()
	if err != nil {
		wd = folder
	}
	here, _ := os.Stat(wd)
	h.thread.do(func() error {
		program = lookPath(name)
		if there, err := os.Stat(wd); err == nil && os.SameFile(here, there) {
			folder = wd
		}
		return nil
	})
	return program, folder
}
