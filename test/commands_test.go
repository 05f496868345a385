package test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// run runs a command on a host and returns its output and exit status.
func (s *site) run(h *lab.Host, name string, args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	c := h.Command(ctx, name, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil || ctx.Err() != nil {
		s.t.Fatalf("%s on %s: %v, %v\n%s%s", name, h.Name, err, ctx.Err(), &out, &errs)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// killQEMU ends the guest's QEMU on a host as a crash would, also while libvirtd there is frozen.
func (s *site) killQEMU(g *lab.Guest, h *lab.Host) {
	s.t.Helper()
	pids, err := h.QEMU(g.Name)
	s.check(err)
	if len(pids) != 1 {
		s.t.Fatalf("%s has QEMU %v of guest %s", h.Name, pids, g.Name)
	}
	s.check(syscall.Kill(pids[0], syscall.SIGKILL))
}

// background starts a command that runs until the test's end. Its standard input has no end before.
func (s *site) background(c *lab.Cmd) {
	s.t.Helper()
	stdin, err := c.StdinPipe()
	s.check(err)
	s.check(c.Start())
	s.t.Cleanup(func() {
		stdin.Close()
		c.Process.Kill()
		c.Wait()
	})
}

// listening waits until something listens at a TCP port of the host.
func (s *site) listening(h *lab.Host, port int) {
	s.t.Helper()
	s.wait(fmt.Sprintf("a listener at port %d of %s", port, h.Name), 20*time.Second, func() bool {
		out, _, _ := s.run(h, "ss", "-Hltn", fmt.Sprintf("sport = :%d", port))
		return strings.TrimSpace(out) != ""
	})
}
