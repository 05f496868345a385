package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/lab"
)

// hostFaults take from a host what it needs.
func hostFaults() (list []*fault) {
	for _, c := range []struct {
		name, folder string
		host         func(s *stage) *lab.Host
		kinds        []string
	}{
		{"disk-full:run-a", "/run", func(s *stage) *lab.Host { return s.A }, nil},
		{"disk-full:run-b", "/run", func(s *stage) *lab.Host { return s.B }, nil},
		// The image there has no blocks yet: they are allocated as they are written.
		{"disk-full:images-b", "/var/lib/libvirt", func(s *stage) *lab.Host { return s.B }, []string{"storage"}},
		{"disk-full:logs-a", "/var/log/libvirt", func(s *stage) *lab.Host { return s.A }, nil},
	} {
		list = append(list, &fault{name: c.name, hits: "disk", kinds: c.kinds, at: []string{"start", "prepare", "perform", "finish"}, lasts: 10 * time.Second,
			strike: func(s *stage) error {
				undo, err := c.host(s).FillDisk(s.ctx, c.folder)
				if err == nil {
					s.undo = append(s.undo, undo)
				}
				return err
			},
			mend: func(s *stage) error {
				undo := s.undo[len(s.undo)-1]
				s.undo = s.undo[:len(s.undo)-1]
				return undo()
			}})
	}
	for _, t := range targets() {
		if t.name == "qemu-a" {
			continue
		}
		list = append(list, &fault{name: "descriptors:" + t.name, hits: t.name, apart: true, at: []string{"start", "prepare", "copy", "finish"}, lasts: 10 * time.Second,
			strike: func(s *stage) error {
				pid, err := t.pid(s)
				if err != nil {
					return err
				}
				fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
				if err != nil {
					return err
				}
				// No new descriptor gets a number beyond the highest that is open.
				highest := 0
				for _, fd := range fds {
					n, _ := strconv.Atoi(fd.Name())
					highest = max(highest, n)
				}
				return s.limit(pid, "nofile", uint64(highest+1))
			},
			mend: (*stage).unlimit})
	}
	for _, t := range targets() {
		if t.name == "qemu-a" || t.name == "libvirtd-a" || t.name == "libvirtd-b" {
			continue
		}
		f := &fault{name: "memory:" + t.name, hits: t.name, apart: true, at: []string{"prepare", "copy", "finish"}, lasts: 10 * time.Second,
			strike: func(s *stage) error {
				pid, err := t.pid(s)
				if err != nil {
					return err
				}
				used, err := addressSpace(pid)
				if err != nil {
					return err
				}
				return s.limit(pid, "as", used)
			},
			mend: func(s *stage) error {
				err := s.unlimit()
				if errors.Is(err, syscall.ESRCH) && t.start != nil { // it has died of it
					s.note("%s ended for want of memory", t.name)
					return t.start(s)
				}
				if errors.Is(err, syscall.ESRCH) {
					return nil
				}
				return err
			}}
		list = append(list, f)
	}
	return list
}

// limit bounds a resource of a process that runs.
func (s *stage) limit(pid int, resource string, most uint64) error {
	s.pid, s.resource = pid, resource
	out, err := s.prlimit("--noheadings", "--output", "SOFT", "--"+resource)
	if err != nil {
		return err
	}
	s.limitWas = strings.TrimSpace(out)
	_, err = s.prlimit(fmt.Sprintf("--%s=%d:", resource, most))
	return err
}

// unlimit fails with ESRCH if the process has ended.
func (s *stage) unlimit() error {
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.pid)); err != nil {
		return syscall.ESRCH
	}
	_, err := s.prlimit(fmt.Sprintf("--%s=%s:", s.resource, s.limitWas))
	return err
}

// prlimit is the program, run as the process's own user: root may not do it to others everywhere.
func (s *stage) prlimit(args ...string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", s.pid), &st); err != nil {
		return "", err
	}
	args = append([]string{fmt.Sprintf("--reuid=%d", st.Uid), fmt.Sprintf("--regid=%d", st.Gid), "--clear-groups", "prlimit", "--pid", strconv.Itoa(s.pid)}, args...)
	out, err := exec.CommandContext(s.ctx, "setpriv", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("prlimit %s: %w: %s", args[5:], err, out)
	}
	return string(out), nil
}

// addressSpace is a process's, in bytes: the first number of statm, in pages (proc(5)).
func addressSpace(pid int) (uint64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(raw), " ")
	pages, err := strconv.ParseUint(first, 10, 64)
	return pages * uint64(os.Getpagesize()), err
}
