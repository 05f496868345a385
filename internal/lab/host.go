package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is one libvirt host of a lab.
type Host struct {
	Name  string // HostA, HostB or HostC; resolves to Addr on all hosts
	Addr  string // its IPv4 address on the link
	Addr6 string // its IPv6 address, to which no name resolves; empty where the kernel has no IPv6

	lab    *Lab
	init   *exec.Cmd // its pid 1, when this process has started it
	pid    int       // of pid 1, as the machine numbers it
	pidfd  int
	thread *thread

	mu       sync.Mutex
	commands map[*Cmd]struct{} // started and not waited for
}

// startHost starts a host's pid 1 in new namespaces and returns once its file system stands: that
// of root ([Options]), or the machine's if that is empty. The host ends when life, the reading end
// of a pipe, reaches its end; with a nil life it stands until it is killed.
func startHost(ctx context.Context, lab, name, root string, life *os.File) (*Host, error) {
	ready, report, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()

	h := &Host{Name: name, pidfd: -1, commands: make(map[*Cmd]struct{})}
	h.init = &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{initName, lab, name, persistArg, root},
		Env:        []string{"GOMAXPROCS=1", "TMPDIR=" + os.TempDir()},
		Dir:        "/",
		ExtraFiles: []*os.File{report},
		SysProcAttr: &unix.SysProcAttr{
			Cloneflags: hostNamespaces,
			Setsid:     true, // no terminal's Ctrl-C is for pid 1
			PidFD:      &h.pidfd,
		},
	}
	if life != nil {
		h.init.Args[3] = boundArg
		h.init.ExtraFiles = append(h.init.ExtraFiles, life)
	}
	err = h.init.Start()
	report.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	h.pid = h.init.Process.Pid

	stop := context.AfterFunc(ctx, func() { ready.Close() })
	said, err := io.ReadAll(ready)
	stop()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && string(said) != readyReport:
		err = fmt.Errorf("its pid 1 says: %q", said)
	}
	if err == nil {
		h.thread, err = enter(h.pidfd)
	}
	if err != nil {
		h.init.Process.Kill()
		h.init.Wait()
		unix.Close(h.pidfd)
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return h, nil
}

// openHost takes hold of a host that another process has started.
func openHost(name string, pid int) (*Host, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, os.NewSyscallError("pidfd_open", err))
	}
	t, err := enter(pidfd)
	if err != nil {
		unix.Close(pidfd)
		return nil, fmt.Errorf("enter %s: %w", name, err)
	}
	return &Host{Name: name, pid: pid, pidfd: pidfd, thread: t, commands: make(map[*Cmd]struct{})}, nil
}

// Path returns where on the machine a file of the host is found, for as long as the lab stands. It
// also serves for connecting to a unix socket, as long as it fits in the 107 bytes of such an
// address.
func (h *Host) Path(p string) string {
	return filepath.Join("/proc", strconv.Itoa(h.pid), "root", p)
}

// Peer returns the lab's other host; of a third one, A.
func (h *Host) Peer() *Host {
	if h == h.lab.A {
		return h.lab.B
	}
	return h.lab.A
}

// inside runs f on the host's thread.
func (h *Host) inside(what string, f func() error) error {
	if err := h.thread.do(f); err != nil {
		if err == unix.ENOMEM {
			err = fmt.Errorf("its pid 1 has ended: %w", err)
		}
		return fmt.Errorf("%s on %s: %w", what, h.Name, err)
	}
	return nil
}

// goneTimeout bounds the wait for a killed host. Another process that has attached to the lab can
// hold it up, by not reaping what it has started there.
const goneTimeout = 30 * time.Second

// gone waits until a host that was killed has ended. The kernel keeps its pid 1 until every process
// of the host is reaped, and those that were started by Command are ours to reap.
func (h *Host) gone() error {
	h.mu.Lock()
	var commands []*Cmd
	for c := range h.commands {
		commands = append(commands, c)
	}
	h.mu.Unlock()
	for _, c := range commands {
		c.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), goneTimeout)
	defer cancel()
	if err := waitGone(ctx, h.pidfd); err != nil {
		return fmt.Errorf("%w (one of its processes may have a parent outside that does not reap it)", err)
	}
	if h.init != nil {
		h.init.Wait() // always an error: it was killed
	}
	return nil
}

// close lets go of the host.
func (h *Host) close() error {
	h.thread.close()
	return os.NewSyscallError("close", unix.Close(h.pidfd))
}
