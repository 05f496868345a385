package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// holdings are what a daemon has open and at work.
type holdings struct {
	descriptors []string // sorted, without numbers
	goroutines  []string // stacks
}

// holds looks at the daemon: first at goroutines, which close what they have open before they end.
func (d *daemon) holds() (h holdings) {
	d.s.t.Helper()
	h.goroutines = d.goroutines()
	h.descriptors = d.descriptors()
	return h
}

// waitStarted waits until the daemon's start is over, and notes what it holds then.
func (d *daemon) waitStarted() {
	d.s.t.Helper()
	d.s.wait("the start is over", 30*time.Second, func() bool {
		d.idle = d.holds()
		// Kernel TLS and libvirt are tried at the start, by sockets of their own; the
		// watch of the certificates begins a moment after the daemon is ready.
		return slices.Contains(d.idle.descriptors, "anon_inode:inotify") &&
			!slices.ContainsFunc(d.idle.goroutines, func(stack string) bool {
				return strings.Contains(stack, "/sluice/stream") || strings.Contains(stack, "digitalocean/go-libvirt")
			})
	})
}

// waitIdle waits until the daemon holds nothing that it did not hold when it was new.
func (d *daemon) waitIdle() {
	d.s.t.Helper()
	late := time.After(20 * time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		now := d.holds()
		busy := beyond(now.goroutines, d.idle.goroutines)
		if slices.Equal(now.descriptors, d.idle.descriptors) && len(busy) == 0 {
			return
		}
		select {
		case <-again.C:
		case <-late:
			d.s.t.Fatalf("sluice on %s does not come to rest: descriptors\n  %s\nof which it had at first\n  %s\ngoroutines that it had not:\n%s",
				d.host.Name, strings.Join(now.descriptors, "\n  "), strings.Join(d.idle.descriptors, "\n  "), strings.Join(busy, "\n\n"))
		}
	}
}

var socketNumber = regexp.MustCompile(`\[\d+\]`)

// descriptors says what the daemon has open, without the numbers. Pipes are
// left out: empty ones are kept for the next splice.
func (d *daemon) descriptors() []string {
	d.s.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	d.s.check(err)
	var fds []string
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		d.s.check(err)
		if !strings.HasPrefix(to, "pipe:") {
			fds = append(fds, socketNumber.ReplaceAllString(to, ""))
		}
	}
	slices.Sort(fds)
	return fds
}

func (d *daemon) goroutinesFile() string { return strings.TrimSuffix(d.logTo, ".log") + ".goroutines" }

// goroutines returns the stacks of all, as testdata/goroutines writes them.
func (d *daemon) goroutines() []string {
	d.s.t.Helper()
	os.Remove(d.goroutinesFile())
	d.signal(syscall.SIGUSR1)
	var raw []byte
	d.s.wait("what the goroutines do", 10*time.Second, func() (done bool) {
		var err error
		raw, err = os.ReadFile(d.goroutinesFile())
		return err == nil
	})
	return strings.Split(string(raw), "\n\n")
}

// beyond returns the stacks of goroutines of which there are more now than at
// first, told apart by what they do.
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

// work are the functions of sluice's and its libvirt client's in a stack, with
// the one that started the goroutine. A goroutine without any is a library's,
// such as that of a caller's idle HTTP connection.
func work(stack string) string {
	var b strings.Builder
	for line := range strings.Lines(stack) {
		if strings.HasPrefix(line, "\t") || !strings.Contains(line, "virt-sluice/sluice/") && !strings.Contains(line, "digitalocean/go-libvirt") {
			continue
		}
		// "pkg.(*T).f(0xc000012345, 0x7)", "created by pkg.f in goroutine 7"
		line, _, _ = strings.Cut(line, " in goroutine ")
		if at := strings.LastIndexByte(line, '('); at > 0 && !strings.HasPrefix(line, "created by ") {
			line = line[:at]
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
