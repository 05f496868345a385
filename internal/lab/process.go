package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// List finds the labs that stand on this machine, whoever has brought them up: for each name, the
// pid of each host's pid 1.
func List() (map[string]map[string]int, error) {
	pids, err := allPids()
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	labs := make(map[string]map[string]int)
	for _, pid := range pids {
		argv := commandLine(pid)
		if len(argv) != 5 || argv[0] != initName || !ownedByRoot(pid) {
			continue
		}
		if labs[argv[1]] == nil {
			labs[argv[1]] = make(map[string]int)
		}
		labs[argv[1]][argv[2]] = pid
	}
	return labs, nil
}

// Processes returns the pids, as the machine numbers them, of the host's processes that run the
// program of that name, such as libvirtd or qemu-system-x86_64. Every process is meant by "".
func (h *Host) Processes(name string) ([]int, error) {
	pids, err := allPids()
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", h.Name, err)
	}
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.pid))
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", h.Name, err)
	}
	var found []int
	for _, pid := range pids {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || ns != namespace {
			continue
		}
		// A zombie has no program any more.
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			continue
		}
		if name == "" || filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == name {
			found = append(found, pid)
		}
	}
	return found, nil
}

// outerPid returns the machine's number of the process that the host knows as inner, and that runs
// the program: a number is another's once its process has ended.
func (h *Host) outerPid(inner int, program string) (int, error) {
	pids, err := h.Processes(program)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
				fields := strings.Fields(numbers)
				if len(fields) > 0 && fields[len(fields)-1] == strconv.Itoa(inner) {
					return pid, nil
				}
			}
		}
	}
	return 0, fmt.Errorf("%s has no process %d of %s: %w", h.Name, inner, program, os.ErrProcessDone)
}

func allPids() ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// commandLine returns the arguments of a process, or nil when it is gone.
func commandLine(pid int) []string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(raw) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(raw, []byte{0})), "\x00")
}

// ownedByRoot keeps another user's process, which can call itself anything, from being taken for a
// host.
func ownedByRoot(pid int) bool {
	var st unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d", pid), &st) == nil && st.Uid == 0
}

// waitGone waits until the process that pidfd names has ended.
func waitGone(ctx context.Context, pidfd int) error {
	return poll(ctx, "the process's end", 0, func() (bool, error) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 50)
		if err == unix.EINTR {
			return false, nil
		}
		return n > 0, os.NewSyscallError("poll", err)
	})
}

// poll asks done again and again, with a pause between, until it says true or fails, or ctx ends.
// It serves where the outside world gives no event to wait for.
func poll(ctx context.Context, what string, pause time.Duration, done func() (bool, error)) error {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
		ok, err := done()
		if ok || err != nil {
			return err
		}
		tick.Reset(pause)
	}
}
