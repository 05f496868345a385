package versions

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
	if _, err := sluice.Programs(); err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	h := direction{modular13, modular13}.up(t)
	for _, c := range []*testCase{
		{name: "found where it listens", run: foundWhereItListens},
		{name: "virtproxyd at the source", run: struckInMidCopy(h.A, lab.Virtproxyd)},
		{name: "virtqemud at the source", run: struckInMidCopy(h.A, h.A.Libvirtd())},
		{name: "virtproxyd at the destination", run: struckInMidCopy(h.B, lab.Virtproxyd)},
		{name: "virtqemud at the destination", run: struckInMidCopy(h.B, h.B.Libvirtd())},
		{name: "virtqemud at the destination, p2p, peer's socket", run: lostInMidCopy(peerSocket, "--p2p")},
		{name: "virtqemud at the destination, managed, peer's socket", run: lostInMidCopy(peerSocket)},
		{name: "virtqemud at the destination, p2p, qemu+tls", run: lostInMidCopy(tlsURI, "--p2p")},
		{name: "virtqemud at the destination, managed, qemu+tls", run: lostInMidCopy(tlsURI)},
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
		s.check(s.B.WaitClean(s.ctx)) // virtqemud ends what it finds there
		m.stays("libvirt")
		return ""
	}
}

// lostInMidCopy: virtqemud at the destination goes, and virtproxyd goes on answering. A stock client
// is told so long before all memory has been sent, and the guest goes on where it was.
func lostInMidCopy(uri string, args ...string) func(*stage) string {
	return func(s *stage) string {
		cmd := s.A.Command(s.ctx, "virsh", append([]string{"migrate", "--live", "--bandwidth", "1", s.g.Name, uri}, args...)...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		s.check(cmd.Start())
		s.memoryFlows()
		struck := time.Now()
		s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL))
		if err := cmd.Wait(); err == nil {
			s.t.Errorf("virsh says that the guest has moved: %s", &said)
		}
		if took := time.Since(struck); took > 30*time.Second {
			s.t.Errorf("virsh was told after %v: %s", took, &said)
		}
		s.ended(s.site.A)
		s.ended(s.site.B)
		s.check(s.B.StartLibvirtd(s.ctx))
		s.check(s.B.WaitClean(s.ctx)) // virtqemud ends what it finds there
		s.check(s.CheckOnlyOn(s.ctx, s.g, s.A))
		return ""
	}
}

// virtproxydOverFinish: virtqemud has the guest run, and virtproxyd can no longer say so.
func virtproxydOverFinish(s *stage) string {
	m, pipe := s.finishHangs()
	s.check(s.B.KillDaemon(s.ctx, lab.Virtproxyd, syscall.SIGKILL))
	s.check(s.B.StartLibvirtd(s.ctx))
	_, err := os.ReadFile(pipe)
	s.check(err)
	m.want(control.Moved)
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.B))
	return ""
}

// virtqemudOverFinish: that virtproxyd has lost virtqemud is no answer, nor is it that the guest is
// absent afterwards, so that the source keeps it stopped.
func virtqemudOverFinish(s *stage) string {
	m, pipe := s.finishHangs()
	s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL))
	s.check(os.Remove(pipe))
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
	s.memoryFlows()
}

func (s *stage) memoryFlows() {
	s.t.Helper()
	s.wait("memory flows", func() bool {
		st, err := s.site.B.Status(s.ctx)
		s.check(err)
		return slices.ContainsFunc(st.Sessions, func(e control.SessionStatus) bool { return e.Received > 4<<20 })
	})
}

// finishHangs returns once virtqemud on host-b is at Finish. There it notes the guest's state, before
// it has the guest run, and waits for somebody to read what is a pipe. That it then can't note it is
// of no consequence to it.
func (s *stage) finishHangs() (m *migration, pipe string) {
	s.t.Helper()
	m = s.migrate("--bandwidth", "16")
	s.halfway(m)
	pipe = s.B.Path("/run/libvirt/qemu/" + s.g.Name + ".xml.new")
	s.check(syscall.Mkfifo(pipe, 0o600))
	s.t.Cleanup(func() { os.Remove(pipe) })
	m.until(control.PhaseFinish)
	pid, err := s.B.LibvirtdPID()
	s.check(err)
	s.wait("virtqemud is at Finish", func() bool { return opens(pid) })
	return m, pipe
}

// opens says whether a thread of a process waits in openat(2).
func opens(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	return slices.ContainsFunc(tasks, func(task string) bool {
		call, _ := os.ReadFile(task)
		return strings.HasPrefix(string(call), strconv.Itoa(syscall.SYS_OPENAT)+" ")
	})
}

// other is the daemon of the other host.
func (s *stage) other(than *lab.Host) *site.Daemon {
	if than == s.A {
		return s.site.B
	}
	return s.site.A
}
