package stand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Holdings are what a daemon has open and at work.
type Holdings struct {
	Descriptors []string // sorted, without numbers
	Goroutines  []string // stacks
}

// GoroutinesVariable names the unix socket, in a daemon's environment, to which it writes its
// goroutines.
const GoroutinesVariable = "SLUICE_GOROUTINES"

// Holds looks at a daemon ([Programs]) that has that socket: first at goroutines, which close what
// they have open before they end.
func Holds(ctx context.Context, pid int, socket string) (h Holdings, err error) {
	if h.Goroutines, err = goroutines(ctx, pid, socket); err != nil {
		return h, err
	}
	h.Descriptors, err = descriptors(pid)
	return h, err
}

// Started says whether a daemon's start is over. Kernel TLS and libvirt are tried then, by sockets
// of their own; the watch of the certificates begins a moment after the daemon is ready, and last of
// all it waits for its stop. On a busy machine a goroutine may not have begun by then, and its stack
// does not tell yet what it is for.
func (h Holdings) Started() bool {
	at := func(what string) bool {
		return slices.ContainsFunc(h.Goroutines, func(stack string) bool { return strings.Contains(stack, what) })
	}
	return slices.Contains(h.Descriptors, "anon_inode:inotify") && at("proxy.(*Daemon).stops.func1(") &&
		!at("/sluice/stream") && !at("digitalocean/go-libvirt") && !slices.ContainsFunc(h.Goroutines, notBegun.MatchString)
}

// notBegun matches a goroutine that WaitGroup.Go has started and that has not called its function.
var notBegun = regexp.MustCompile(`^goroutine \d+ \[.*\]:\nsync\.\(\*WaitGroup\)\.Go\.func1\(`)

// Beyond is an error that says what a daemon holds that it did not hold at first, if it does.
func (h Holdings) Beyond(first Holdings) error {
	busy := beyond(h.Goroutines, first.Goroutines)
	if slices.Equal(h.Descriptors, first.Descriptors) && len(busy) == 0 {
		return nil
	}
	return fmt.Errorf("descriptors\n  %s\nof which it had at first\n  %s\ngoroutines that it had not:\n%s",
		strings.Join(h.Descriptors, "\n  "), strings.Join(first.Descriptors, "\n  "), strings.Join(busy, "\n\n"))
}

var socketNumber = regexp.MustCompile(`\[\d+\]`)

// descriptors says what a process has open, without the numbers. Pipes are left out: empty ones are
// kept for the next splice.
func descriptors(pid int) ([]string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var fds []string
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(to, "pipe:") {
			fds = append(fds, socketNumber.ReplaceAllString(to, ""))
		}
	}
	slices.Sort(fds)
	return fds, nil
}

// goroutines returns the stacks of all, as testdata/goroutines writes them.
func goroutines(ctx context.Context, pid int, socket string) ([]string, error) {
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := os.Chmod(socket, 0o777); err != nil { // the daemon may be anybody's
		return nil, err
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	c, err := l.Accept()
	if err != nil {
		return nil, fmt.Errorf("the daemon does not say what its goroutines do: %w", errors.Join(context.Cause(ctx), err))
	}
	defer c.Close()
	raw, err := io.ReadAll(c)
	return strings.Split(string(raw), "\n\n"), err
}

// beyond returns the stacks of goroutines of which there are more now than at
// first, told apart by what they were started
// for.
func beyond(now, first []string) (more []string) {
	had := make(map[string]int)
	for _, stack := range first {
		had[work(stack)]++
	}
	for _, stack := range now {
		does := work(stack)
		if had[does]--; does != "" && had[does] < 0 {
			more = append(more, stack)
		}
	}
	return more
}

// work is what a goroutine was started for: the outermost function of sluice's or its libvirt
// client's in its stack, and what has started it. Deeper ones change as it works. A goroutine without
// any is a library's, such as that of a caller's idle HTTP connection.
func work(stack string) string {
	outermost, starter := "", ""
	for line := range strings.Lines(stack) {
		if strings.HasPrefix(line, "\t") || !strings.Contains(line, "virt-sluice/sluice/") && !strings.Contains(line, "digitalocean/go-libvirt") {
			continue
		}
		// "pkg.(*T).f(0xc000012345, 0x7)", "created by pkg.f in goroutine 7"
		line, _, _ = strings.Cut(line, " in goroutine ")
		if strings.HasPrefix(line, "created by ") {
			starter = line
			continue
		}
		if at := strings.LastIndexByte(line, '('); at > 0 {
			line = line[:at]
		}
		outermost = line
	}
	return outermost + starter
}
