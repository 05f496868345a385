package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
)

// A target is a process of one host's.
type target struct {
	name  string
	pid   func(s *stage) (int, error)
	start func(s *stage) error // after its end; nil: nobody does
}

func (s *stage) daemon(h *lab.Host) *site.Daemon {
	if h == s.A {
		return s.site.A
	}
	return s.site.B
}

func targets() (list []target) {
	for _, on := range []struct {
		name string
		host func(s *stage) *lab.Host
	}{
		{"-a", func(s *stage) *lab.Host { return s.A }},
		{"-b", func(s *stage) *lab.Host { return s.B }},
	} {
		list = append(list,
			target{"sluice" + on.name,
				func(s *stage) (int, error) { return s.daemon(on.host(s)).Pid(), nil },
				func(s *stage) error {
					d := s.daemon(on.host(s))
					<-d.Exited() // its lock on the run folder has gone then, too
					return d.Start(s.ctx)
				}},
			target{"libvirtd" + on.name,
				func(s *stage) (int, error) { return on.host(s).LibvirtdPID() },
				func(s *stage) error { return on.host(s).StartLibvirtd(s.ctx) }},
			target{"qemu" + on.name,
				func(s *stage) (int, error) {
					pids, err := on.host(s).QEMU(s.g.Name)
					if err == nil && len(pids) != 1 {
						err = fmt.Errorf("%s has QEMU %v", on.host(s).Name, pids)
					}
					if err != nil {
						return 0, err
					}
					return pids[0], nil
				}, nil},
		)
	}
	return list
}

// systemdPause is about what systemd waits before it starts a service anew (RestartSec, and the
// start itself); libvirtd's and sluice's units say Restart=on-failure.
const systemdPause = time.Second

// stopTimeout is systemd's default for a service to stop (DefaultTimeoutStopSec).
const stopTimeout = 90 * time.Second

func processFaults() (list []*fault) {
	for _, t := range targets() {
		add := func(how string, f fault) {
			f.name, f.hits = t.name+":"+how, t.name
			f.apart = t.name == "sluice-a" || t.name == "sluice-b"
			list = append(list, &f)
		}
		end := func(s *stage) error {
			pid, err := t.pid(s)
			if err != nil {
				return err
			}
			s.pid = pid
			return s.end(pid, syscall.SIGKILL)
		}
		stop := func(s *stage) error {
			pid, err := t.pid(s)
			if err != nil {
				return err
			}
			s.pid = pid
			return s.freeze(pid)
		}
		thaw := func(s *stage) error { s.thaw(s.pid); return nil }
		ends := t.start == nil
		if ends {
			add("kill", fault{strike: end, ends: true})
		} else {
			add("kill", fault{strike: end, lasts: systemdPause, mend: t.start})
			add("kill-for-good", fault{at: []string{"prepare", "copy", "finish", "confirm"}, strike: end, lasts: forGood, mend: t.start})
			add("restart", fault{at: []string{"start", "copy", "finish", "confirm", "done"}, strike: func(s *stage) error {
				pid, err := t.pid(s)
				if err != nil {
					return err
				}
				s.pid = pid
				return syscall.Kill(pid, syscall.SIGTERM)
			}, mend: func(s *stage) error {
				if err := s.ended(s.pid); err != nil { // systemd's way (TimeoutStopSec)
					s.note("%s did not stop within %v, and was killed", t.name, stopTimeout)
					if err := s.end(s.pid, syscall.SIGKILL); err != nil {
						return err
					}
				}
				return t.start(s)
			}})
		}
		add("stop-5s", fault{at: []string{"prepare", "copy", "switch", "finish", "confirm"}, strike: stop, lasts: 5 * time.Second, mend: thaw})
		add("stop-40s", fault{at: []string{"start", "copy", "finish", "confirm"}, strike: stop, lasts: 40 * time.Second, mend: thaw})
		// In the end somebody ends it, as systemd does with a sluice (WatchdogSec).
		add("stop-for-good", fault{at: whole, strike: stop, lasts: forGood, ends: ends, mend: func(s *stage) error {
			err := s.end(s.pid, syscall.SIGKILL)
			if err == nil && t.start != nil {
				err = t.start(s)
			}
			return err
		}})
	}
	return list
}

// end ends a process, and waits until it has ended.
func (s *stage) end(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return s.ended(pid)
}

// ended waits until a process has let go of all that it had, its locks too.
func (s *stage) ended(pid int) error {
	ctx, cancel := context.WithTimeout(s.ctx, stopTimeout)
	defer cancel()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	for {
		const again = 100 // ms
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, again)
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("poll", err)
		case ctx.Err() != nil:
			return fmt.Errorf("the end of process %d: %w", pid, context.Cause(ctx))
		}
	}
}
