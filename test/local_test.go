package test

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

const peerURI = "qemu+unix:///system?socket=/run/sluice/peers/host-b/libvirt.sock"

// asNobody runs a program as a user who may not use sluice.
func (s *site) asNobody(h *lab.Host, args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	return s.run(h, "setpriv", append([]string{"--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "HOME=/nonexistent", "XDG_CACHE_HOME=/nonexistent"}, args...)...)
}

func TestWrongUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	const words = "uid 65534 may not use sluice on host-a"
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"migrate", g.Name, "host-b"}, {"migrate", "--json", g.Name, "host-b"}} {
		out, errs, status := s.asNobody(s.A, append([]string{s.command}, args...)...)
		if status != 2 {
			t.Errorf("sluice %s ends with status %d", args, status)
		}
		says(t, "sluice "+args[0], errs, words, "users")
		if strings.Contains(out, "host-b:16514") {
			t.Errorf("sluice %s has told: %s", args, out)
		}
	}
	out, errs, status := s.asNobody(s.A, "virsh", "-c", peerURI, "list", "--all")
	if status == 0 || out != "" {
		t.Errorf("virsh ends with status %d and prints %q", status, out)
	}
	says(t, "virsh", errs, "sluice: "+words)
	a.logged("caller of a local socket refused", words)
	if st := a.status(); len(st.Sessions)+len(st.Ended) != 0 {
		t.Errorf("there are sessions: %+v", st)
	}
	s.onlyOn(g, s.A)
}

func TestConfiguredUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.both(conf{top: "users = [\"65534\"]\n"})
	if out, errs, status := s.asNobody(s.A, s.command, "status"); status != 0 || !strings.Contains(out, "host-b") {
		t.Errorf("sluice status ends with status %d: %s%s", status, out, errs)
	}
	s.nothingLeft()
}

func TestVirsh(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guestOn(s.B, lab.GuestSpec{})
	out, errs, status := s.run(s.A, "virsh", "-c", peerURI, "list", "--name")
	if status != 0 || strings.TrimSpace(out) != g.Name {
		t.Errorf("virsh list ends with status %d: %s%s", status, out, errs)
	}
	if out, errs, _ := s.run(s.A, "virsh", "-c", peerURI, "hostname"); strings.TrimSpace(out) != "host-b" {
		t.Errorf("virsh hostname: %s%s", out, errs)
	}
	for _, d := range []*daemon{a, b} {
		if e := d.ended(); e.Kind != "libvirt" || e.Cause != "" {
			t.Errorf("%s shows %+v", d.host.Name, e)
		}
	}
	s.onlyOn(g, s.B)

	// Where there is no sluice at the other end, virsh says so.
	b.killed()
	s.virshFails(s.A, []string{"-c", peerURI, "list"}, "sluice: ", "host-b:16514", "is sluice running there?")
	a.waitIdle()
}

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	s, a, b, g, m := underWay(t, conf{})
	for _, d := range []*daemon{a, b} {
		out, errs, status := s.run(d.host, s.command, "status")
		if status != 0 {
			t.Errorf("status %d: %s", status, errs)
		}
		says(t, "sluice status on "+d.host.Name, out, g.Name, d.host.Peer().Name, "memory", "TLS1.3")
	}
	m.cmd.Process.Kill()
	a.ended()
	b.ended()
	for _, d := range []*daemon{a, b} {
		out, _, _ := s.run(d.host, s.command, "status")
		says(t, "sluice status on "+d.host.Name, out, g.Name, "the caller cancelled the migration")
	}
	s.onlyOn(g, s.A)
}
