package versions

import (
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/proxy/control"
)

// TestModular has modular daemons fail in the midst of migrations. virtproxyd puts what becomes of
// its connection to virtqemud into errors of its own, which say nothing of the guest.
func TestModular(t *testing.T) {
	if !*all || *only != "" {
		t.Skip("only with -all, and without -case")
	}
	lab.Require(t)
	if _, err := programs(); err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	h := direction{modular13, modular13}.up(t)
	for _, c := range []*testCase{
		{name: "found where it listens", run: foundWhereItListens},
		{name: "virtproxyd at the source", run: struckInMidCopy(h.A, lab.Virtproxyd)},
		{name: "virtqemud at the source", run: struckInMidCopy(h.A, h.A.Libvirtd())},
		{name: "virtproxyd at the destination", run: struckInMidCopy(h.B, lab.Virtproxyd)},
		{name: "virtproxyd over Finish", run: virtproxydOverFinish},
		{name: "virtqemud over Finish", run: virtqemudOverFinish},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newStage(t, h, c)) })
	}
}

// foundWhereItListens: a virtproxyd that was killed leaves its socket.
func foundWhereItListens(s *stage) string {
	at := func(want string) {
		s.t.Helper()
		st, err := s.site.A.Status(s.ctx)
		s.check(err)
		if st.Libvirt != want {
			s.t.Errorf("status shows libvirt at %s, want %s", st.Libvirt, want)
		}
	}
	const proxy, direct = "/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"
	at(proxy)
	s.check(s.A.KillDaemon(s.ctx, lab.Virtproxyd, syscall.SIGKILL))
	at(direct)
	s.migrate().want(control.Moved)
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.B))
	s.check(s.A.StartLibvirtd(s.ctx))
	at(proxy)
	return ""
}

// struckInMidCopy: libvirt answers nobody until the other host has given up, and the guest goes on
// where it was all the same.
func struckInMidCopy(on *lab.Host, daemon string) func(*stage) string {
	return func(s *stage) string {
		m := s.migrate("--bandwidth", "4")
		s.halfway(m)
		s.check(on.KillDaemon(s.ctx, daemon, syscall.SIGKILL))
		s.ended(s.other(on))
		s.check(on.StartLibvirtd(s.ctx))
		m.stays("libvirt")
		return ""
	}
}

// virtproxydOverFinish: virtqemud has the guest run, and virtproxyd can no longer say so.
func virtproxydOverFinish(s *stage) string {
	m, thaw := s.finishHangs()
	s.check(s.B.KillDaemon(s.ctx, lab.Virtproxyd, syscall.SIGKILL))
	s.check(s.B.StartLibvirtd(s.ctx))
	thaw()
	m.want(control.Moved)
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.B))
	return ""
}

// virtqemudOverFinish: that virtproxyd has lost virtqemud is no answer, nor is it that the guest is
// absent afterwards, so that the source keeps it stopped.
func virtqemudOverFinish(s *stage) string {
	m, _ := s.finishHangs()
	s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL))
	s.check(s.B.StartLibvirtd(s.ctx))
	m.want(control.Unknown)
	if state, err := s.A.Virsh(s.ctx, "domstate", s.g.Name); state != "paused" {
		s.t.Errorf("on host-a the guest is %s, %v", state, err)
	}
	if out, err := s.site.A.Command(s.ctx, "resolve", s.g.Name, "--here").CombinedOutput(); err != nil {
		s.t.Errorf("sluice resolve: %v: %s", err, out)
	}
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.A))
	return ""
}

// halfway waits until a part of memory has gone, and more is to go.
func (s *stage) halfway(m *migration) {
	s.t.Helper()
	m.until(control.PhaseMemory)
	s.wait("memory flows", func() bool {
		st, err := s.site.B.Status(s.ctx)
		s.check(err)
		return len(st.Sessions) > 0 && st.Sessions[0].Received > 4<<20
	})
}

// finishHangs returns once Finish has been asked for at host-b, whose virtqemud does not answer
// before thaw.
func (s *stage) finishHangs() (m *migration, thaw func()) {
	s.t.Helper()
	m = s.migrate("--bandwidth", "16")
	s.halfway(m)
	pid, err := s.B.LibvirtdPID()
	s.check(err)
	s.check(syscall.Kill(pid, syscall.SIGSTOP))
	s.t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) })
	m.until(control.PhaseFinish)
	return m, func() { s.check(syscall.Kill(pid, syscall.SIGCONT)) }
}

// other is the daemon of the other host.
func (s *stage) other(than *lab.Host) *site.Daemon {
	if than == s.A {
		return s.site.B
	}
	return s.site.A
}
