package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A stage is what one case has: two hosts at the defaults of libvirt and sluice, a guest on host-a,
// and what happened so far.
type stage struct {
	*lab.Lab
	c        *testCase
	ctx      context.Context
	dir      string // the same path on both hosts
	programs stand.Programs
	site     *site.Site
	rng      *rand.Rand
	g        *lab.Guest
	caller   *caller
	idle     map[*site.Daemon]stand.Holdings
	watch    *watch
	logged   map[*lab.Host]int // length of libvirtd's log at the start
	undo     []func() error    // what a fault has changed of the hosts, last first

	mu     sync.Mutex
	frozen map[int]int // processes that are stopped: by how many

	sentBefore uint64 // by host-a's link

	qemuLogged int  // length of QEMU's log at the start
	crashed    bool // a libvirtd has, as it does without sluice

	// What faults keep.
	pid       int    // of the process that was struck
	resource  string // that was limited
	limitWas  string
	second    *caller   // of the same guest's
	others    []*caller // whose outcome is no part of the case
	nameTaken bool
	earlier   []<-chan struct{}        // of sluices that others have followed: closed at their end
	clocks    map[*lab.Host]*lab.Clock // of their sluices

	struck time.Time
	missed bool      // the guest had moved before
	mended time.Time // when the fault had ended; zero: it has no length
	notes  []string  // of what is worth telling
}

// newStage sets the stage. close must be called, also after an error.
func newStage(ctx context.Context, c *testCase, dir string) (s *stage, err error) {
	s = &stage{c: c, ctx: ctx, dir: dir, rng: c.rng(), idle: make(map[*site.Daemon]stand.Holdings), frozen: make(map[int]int)}
	if s.programs, err = sluice.Programs(); err != nil {
		return s, err
	}
	if s.Lab, err = labs.take(ctx); err != nil {
		return s, err
	}
	s.logged = map[*lab.Host]int{s.A: len(libvirtdLog(s.A)), s.B: len(libvirtdLog(s.B))}
	if raw, err := os.ReadFile(s.A.Path("/var/log/libvirt/qemu/g.log")); err == nil {
		s.qemuLogged = len(raw)
	}
	spec := specs[c.kind]
	spec.Name, spec.Persistent = "g", c.persistent()
	if c.fault.spec != nil {
		c.fault.spec(&spec)
	}
	if c.fault.setUp != nil {
		if err := c.fault.setUp(s); err != nil {
			return s, err
		}
	}
	if c.kind == "postcopy" {
		if err := s.SlowLink(slowed); err != nil {
			return s, err
		}
	}
	for _, h := range s.Hosts() {
		if err := os.Remove(h.Path(historyFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return s, err // an earlier case's sessions are none of this one's
		}
	}
	s.site, err = site.Start(ctx, s.Lab, site.Options{
		Binary: s.programs.Command, Daemon: s.programs.Daemon, Peer: c.way.peer,
		Clock: func(h *lab.Host) *lab.Clock { return s.clocks[h] },
		Env:   []string{stand.GoroutinesVariable + "=" + goroutinesFile},
	})
	if err != nil {
		return s, err
	}
	if c.way.name == "intercept" {
		for _, d := range s.site.Daemons() {
			if out, err := d.Command(ctx, "intercept", "up", "--config", site.ConfigFile).CombinedOutput(); err != nil {
				return s, fmt.Errorf("sluice intercept up: %w: %s", err, out)
			}
			s.undo = append(s.undo, func() error {
				out, err := d.Command(context.Background(), "intercept", "down").CombinedOutput()
				if err != nil {
					err = fmt.Errorf("sluice intercept down: %w: %s", err, out)
				}
				return err
			})
		}
	}
	for _, d := range s.site.Daemons() {
		if err := s.wait("sluice's start is over", 30*time.Second, func() (bool, error) {
			h, err := s.holds(d)
			s.idle[d] = h
			return h.Started(), err
		}); err != nil {
			return s, err
		}
	}
	if s.g, err = s.A.StartGuest(ctx, spec); err != nil {
		return s, err
	}
	if c.makesDisks() {
		err = os.Remove(s.B.Path(s.g.DiskPath(0))) // an earlier case's
	} else {
		err = s.g.CreateDisks(s.B)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	s.sentBefore = s.carried()
	s.watch = watchGuest(s.g, s.A, s.B)
	return s, nil
}

// slowed is a link on which post-copy, which heeds no other limit, takes a while: bytes per second.
const slowed = 12 << 20

const historyFile = "/var/lib/sluice/history.db"

const goroutinesFile = "/var/log/libvirt/sluice.goroutines"

func (s *stage) holds(d *site.Daemon) (stand.Holdings, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	return stand.Holds(ctx, d.Pid(), d.Host.Path(goroutinesFile))
}

// close makes the hosts as new, or takes them down.
func (s *stage) close() error {
	if s.Lab == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if s.watch != nil {
		s.watch.stop()
	}
	for pid := range s.frozen {
		syscall.Kill(pid, syscall.SIGCONT)
	}
	for _, c := range append([]*caller{s.caller, s.second}, s.others...) {
		if c != nil {
			c.cmd.Process.Kill()
			<-c.done
		}
	}
	if s.site != nil {
		for _, d := range s.site.Daemons() {
			if d.Exited() != nil {
				syscall.Kill(d.Pid(), syscall.SIGKILL)
				<-d.Exited()
			}
		}
	}
	for len(s.undo) > 0 {
		errs = append(errs, s.undo[len(s.undo)-1]())
		s.undo = s.undo[:len(s.undo)-1]
	}
	errs = append(errs, s.RestoreLink(), s.SlowLink(0))
	if s.g != nil {
		errs = append(errs, s.g.Destroy(ctx))
	}
	for _, h := range s.Hosts() {
		errs = append(errs, os.RemoveAll(h.Path("/run/sluice")), h.RemoveFiles("/var/lib/sluice"), h.RemoveFiles("/etc/pki"), h.WaitClean(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, s.Down())
	}
	labs.give(s.Lab)
	return nil
}

// wait asks done again and again until it is true or fails.
func (s *stage) wait(what string, most time.Duration, done func() (bool, error)) error {
	late := time.NewTimer(most)
	defer late.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-late.C:
			return fmt.Errorf("%s: not within %v", what, most)
		case <-s.ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(s.ctx))
		}
	}
}

// freeze stops a process until thaw has been called as often. One that has ended is no error.
func (s *stage) freeze(pid int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen[pid]++; s.frozen[pid] > 1 {
		return nil
	}
	return syscall.Kill(pid, syscall.SIGSTOP)
}

func (s *stage) thaw(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen[pid]--; s.frozen[pid] == 0 {
		delete(s.frozen, pid)
		syscall.Kill(pid, syscall.SIGCONT)
	}
}

// frozenLibvirtd says whether a host's libvirtd is stopped.
func (s *stage) frozenLibvirtd(h *lab.Host) bool {
	pid, err := h.LibvirtdPID()
	s.mu.Lock()
	defer s.mu.Unlock()
	return err == nil && s.frozen[pid] > 0
}

// status is what a daemon shows, or an empty status if it does not answer.
func (s *stage) status(d *site.Daemon) *control.Status {
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	st, err := d.Status(ctx)
	if err != nil {
		return new(control.Status)
	}
	return st
}

// carried is how many bytes of the guest host-a's sluice has moved, or host-b's where the guest
// goes to that one alone.
func (s *stage) carried() (n uint64) {
	if s.c.way == plain {
		raw, err := os.ReadFile(s.A.Path("/sys/class/net/eth0/statistics/tx_bytes"))
		if err != nil {
			return 0
		}
		n, _ = strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
		return n - s.sentBefore
	}
	d := s.site.A
	if s.c.way.tunnel {
		d = s.site.B
	}
	for _, e := range s.status(d).Sessions {
		if e.Guest == s.g.Name || e.Kind == "intercept" || s.c.way.tunnel {
			n += e.Sent + e.Received
		}
	}
	return n
}

// logs are both daemons' last words, for a case that has failed.
func (s *stage) logs() string {
	if s.site == nil {
		return ""
	}
	var b strings.Builder
	for _, d := range s.site.Daemons() {
		fmt.Fprintf(&b, "log of %s:\n%s\n", d.Host.Name, tail(d.Log(), 10<<10))
	}
	for _, h := range s.Hosts() {
		fmt.Fprintf(&b, "libvirtd's log of %s:\n%s\n", h.Name, tail(libvirtdLog(h)[s.logged[h]:], 3<<10))
		raw, _ := os.ReadFile(h.Path("/var/log/libvirt/qemu/g.log"))
		fmt.Fprintf(&b, "QEMU's log of %s:\n%s\n", h.Name, tail(string(raw), 1<<10))
	}
	return b.String()
}

func libvirtdLog(h *lab.Host) string {
	raw, _ := os.ReadFile(h.Path("/var/log/libvirt/libvirtd.log"))
	return string(raw)
}

func tail(s string, most int) string {
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
