package test

import (
	"bytes"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// virsh runs virsh on a host and returns what it printed.
func (s *site) virsh(h *lab.Host, args ...string) string {
	s.t.Helper()
	out, err := h.Virsh(s.ctx, args...)
	s.check(err)
	return out
}

// virshSays runs virsh, on a host, with a libvirt of its own choice ("-c"). It
// must succeed, and what it printed is returned, without the space around it.
func (s *site) virshSays(h *lab.Host, args ...string) string {
	s.t.Helper()
	out, errs, status := s.run(h, "virsh", append([]string{"-q"}, args...)...)
	if status != 0 {
		s.t.Fatalf("virsh %s ends with status %d: %s%s", args, status, out, errs)
	}
	return strings.TrimSpace(out)
}

// virshFails runs virsh, which must fail in these words.
func (s *site) virshFails(h *lab.Host, args []string, words ...string) {
	s.t.Helper()
	out, errs, status := s.run(h, "virsh", append([]string{"-q"}, args...)...)
	if status == 0 {
		s.t.Fatalf("virsh %s succeeded: %s", args, out)
	}
	says(s.t, "virsh "+strings.Join(args, " "), errs, words...)
}

// virshRun is a virsh under way.
type virshRun struct {
	s    *site
	cmd  *lab.Cmd
	errs bytes.Buffer
	done chan struct{}
}

// virshStart starts a migration to the other host with stock virsh.
func (d *daemon) virshStart(g *lab.Guest, args ...string) *virshRun {
	d.s.t.Helper()
	return d.s.virshMigrates(d.host, g, d.uri(), args...)
}

// virshMigrates starts a migration from h to where a libvirt URI leads.
func (s *site) virshMigrates(h *lab.Host, g *lab.Guest, uri string, args ...string) *virshRun {
	s.t.Helper()
	return s.virshStart(h, append([]string{"-c", "qemu:///system", "migrate", "--live", g.UUID, uri}, args...)...)
}

// virshStart starts virsh on a host.
func (s *site) virshStart(h *lab.Host, args ...string) *virshRun {
	s.t.Helper()
	v := &virshRun{s: s, done: make(chan struct{})}
	v.cmd = h.Command(s.ctx, "virsh", append([]string{"-q"}, args...)...)
	v.cmd.Stderr = &v.errs
	s.check(v.cmd.Start())
	go func() {
		v.cmd.Wait()
		close(v.done)
	}()
	return v
}

func (v *virshRun) running() bool {
	select {
	case <-v.done:
		return false
	default:
		return true
	}
}

// ends waits for virsh's end and returns what it said, and its status.
func (v *virshRun) ends() (string, int) {
	v.s.t.Helper()
	v.s.wait("the end of virsh migrate", 90*time.Second, func() bool { return !v.running() })
	return v.errs.String(), v.cmd.ProcessState.ExitCode()
}

// moves waits for virsh's end, which must be a success.
func (v *virshRun) moves() {
	v.s.t.Helper()
	if said, status := v.ends(); status != 0 {
		v.s.t.Fatalf("virsh migrate ended with status %d: %s", status, said)
	}
}

// fails waits for virsh's end, which must be a failure in these words.
func (v *virshRun) fails(words ...string) {
	v.s.t.Helper()
	said, status := v.ends()
	if status == 0 {
		v.s.t.Fatal("virsh migrate succeeded")
	}
	says(v.s.t, "virsh", said, words...)
}

// flows waits until a part of memory has gone through the daemon.
func (v *virshRun) flows(d *daemon, g *lab.Guest) {
	v.s.t.Helper()
	v.s.wait("memory flows", time.Minute, func() bool {
		if !v.running() {
			v.s.t.Fatalf("virsh migrate ended before: %s", v.errs.String())
		}
		for _, e := range d.status().Sessions {
			if e.Kind == "steered" && e.Guest == g.Name && e.Sent > 2<<20 {
				return true
			}
		}
		return false
	})
}
