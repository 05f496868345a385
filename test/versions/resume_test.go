package versions

import (
	"errors"
	"os"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// resumed breaks a post-copy by its link, and resumes it.
func resumed(s *stage) string {
	s.check(s.SlowLink(12 << 20)) // post-copy heeds no limit but the link's
	m := s.migrate("--postcopy", "--timeout", "1", "--timeout-postcopy")
	m.until(control.PhasePost)
	// Before the guest's devices have arrived QEMU over there has nothing to keep; and before the
	// pages that an interrupt needs have, emulation waits for them under QEMU's big lock.
	s.wait("the guest runs on host-b", func() bool {
		state, _ := s.B.Virsh(s.ctx, "domstate", s.g.Name)
		return state == "running"
	})
	received := func() uint64 {
		st, err := s.site.B.Status(s.ctx)
		s.check(err)
		if len(st.Sessions) == 0 {
			s.t.Fatalf("the session on host-b has ended: %+v", st.Ended)
		}
		return st.Sessions[0].Received
	}
	begun := received()
	s.wait("pages follow", func() bool { return received() > begun+6<<20 })
	s.check(s.CutLink())
	m.want(control.Unknown)
	for _, d := range s.site.Daemons() {
		s.ended(d)
		state, err := d.Host.Virsh(s.ctx, "domstate", "--reason", s.g.Name)
		if err != nil || !strings.Contains(state, "post-copy failed") {
			s.t.Errorf("on %s the guest is %q, %v", d.Host.Name, state, err)
		}
	}
	s.check(s.RestoreLink())
	s.check(s.SlowLink(0))
	if s.hasB.Has(virt.ResumeCrash) {
		return s.crashes()
	}
	s.migrate("--postcopy-resume").want(control.Moved)
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.B))
	return ""
}

// crashes checks that sluice refuses to resume where libvirtd would crash, and that it is right.
func (s *stage) crashes() string {
	s.t.Helper()
	r := s.migrate("--postcopy-resume").want(control.Unknown)
	for _, w := range []string{s.hasB.Libvirt, virt.ResumeCrash.Text, "--unsafe"} {
		if !strings.Contains(r.Cause, w) {
			s.t.Errorf("the cause is\n  %s\nwhich lacks %q", r.Cause, w)
		}
	}
	if r := s.migrate("--postcopy-resume", "--unsafe").wait(); r.Outcome == control.Moved {
		s.t.Fatalf("libvirt %s has resumed it: correct the table of known faults", s.hasB.Libvirt)
	}
	if pid, err := s.B.LibvirtdPID(); !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("libvirtd on host-b is process %d, %v, and was to crash", pid, err)
	}
	s.check(s.B.StartLibvirtd(s.ctx))
	return "libvirt from 11.2 until 11.4: " + virt.ResumeCrash.Text
}
