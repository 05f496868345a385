package test

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// reconfigureLibvirtd starts a host's libvirtd anew with another configuration, and again with its
// own when the function that is returned is called, or at the test's end. Guests go on.
func (s *site) reconfigureLibvirtd(h *lab.Host, change func(conf string) string) (undo func()) {
	s.t.Helper()
	file := h.Path("/etc/libvirt/libvirtd.conf")
	was, err := os.ReadFile(file)
	s.check(err)
	restart := func(conf string) {
		s.t.Helper()
		// Not the test's context, which has ended by the time of its cleanup.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		s.check(os.WriteFile(file, []byte(conf), 0o644))
		s.check(h.KillLibvirtd(ctx, syscall.SIGTERM))
		s.check(h.StartLibvirtd(ctx))
	}
	restart(change(string(was)))
	undo = sync.OnceFunc(func() { restart(string(was)) })
	s.t.Cleanup(undo)
	return undo
}

// freezeLibvirtd stops the host's libvirtd, which answers nothing then, until
// the function that is returned is called.
func (s *site) freezeLibvirtd(h *lab.Host) (thaw func()) {
	s.t.Helper()
	pid, err := h.LibvirtdPID()
	s.check(err)
	s.check(syscall.Kill(pid, syscall.SIGSTOP))
	s.t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) })
	return func() { s.check(syscall.Kill(pid, syscall.SIGCONT)) }
}
