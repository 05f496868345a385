package faults

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/virt-sluice/sluice/internal/lab"
)

// callerFaults are those of whoever asks for the migration.
func callerFaults() []*fault {
	signal := func(sig syscall.Signal) func(s *stage) error {
		return func(s *stage) error { return s.caller.cmd.Process.Signal(sig) }
	}
	at := []string{"prepare", "copy", "switch", "finish", "confirm"}
	second := func(args func(s *stage) []string) func(s *stage) error {
		return func(s *stage) error {
			c, err := s.call(args(s))
			if err != nil {
				return err
			}
			s.second = c
			return nil
		}
	}
	return []*fault{
		{name: "caller:kill", hits: "caller", at: at, strike: signal(syscall.SIGKILL)},
		{name: "caller:interrupt", hits: "caller", at: at, strike: signal(syscall.SIGINT)},
		{name: "second:sluice", at: at[:4], strike: second(func(s *stage) []string {
			return []string{s.programs.Command, "migrate", "--json", s.g.Name, lab.HostB}
		})},
		{name: "second:virsh", at: at[:4], strike: second(func(s *stage) []string {
			return []string{"virsh", "-q", "-c", "qemu:///system", "migrate", "--live", "--p2p", s.g.Name, peerURI}
		})},
	}
}

// guestFaults are what a user does to the guest meanwhile.
func guestFaults() []*fault {
	at := []string{"prepare", "copy", "switch", "finish"}
	virsh := func(args ...string) func(s *stage) error {
		return func(s *stage) error {
			// Most wait for the migration's job, or are refused for it: their outcome is no part of
			// the case.
			c, err := s.call(append([]string{"virsh", "-q", "-c", "qemu:///system"}, args...))
			if err == nil {
				s.others = append(s.others, c)
			}
			return err
		}
	}
	return []*fault{
		{name: "guest:destroy", hits: "guest", ends: true, at: at, strike: virsh("destroy", "g")},
		{name: "guest:shutdown", at: at, strike: virsh("shutdown", "g")},
		{name: "guest:reset", at: at, strike: virsh("reset", "g")},
		{name: "guest:rename", at: at, strike: virsh("domrename", "g", "h")},
		{name: "guest:suspend-resume", at: []string{"begin", "prepare", "copy"}, strike: func(s *stage) error {
			if err := virsh("suspend", "g")(s); err != nil {
				return err
			}
			return virsh("resume", "g")(s)
		}},
		{name: "guest:job-aborted", hits: "caller", at: at, strike: virsh("domjobabort", "g")},
		{name: "name-taken", hits: "guest", at: []string{"start", "begin", "prepare", "copy", "finish"}, strike: takeName},
	}
}

// resetFaults are what the guest itself does.
func resetFaults() []*fault {
	reset := func(s *stage) error { return s.g.ResetItself(s.A) }
	return []*fault{
		{name: "guest:resets-itself", at: whole, strike: reset},
		{name: "guest:ends-itself", hits: "guest", ends: true, at: whole, strike: reset, spec: func(spec *lab.GuestSpec) { spec.EndsOnReset = true }},
	}
}

// takeName has host-b's libvirt define another guest of the name, if it does: while one is on its
// way there it does not.
func takeName(s *stage) error {
	xml := fmt.Sprintf("<domain type='qemu'><name>g</name><uuid>%s</uuid><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os></domain>", uuid.NewString())
	file := "/run/other.xml"
	if err := os.WriteFile(s.B.Path(file), []byte(xml), 0o644); err != nil {
		return err
	}
	if s.frozenLibvirtd(s.B) {
		c, err := s.callOn(s.B, []string{"virsh", "-q", "-c", "qemu:///system", "define", file})
		if err == nil {
			s.others = append(s.others, c)
		}
		return err
	}
	_, err := s.B.Virsh(s.ctx, "define", file)
	switch {
	case err == nil:
		s.nameTaken = true
	case strings.Contains(err.Error(), "already"):
		s.note("libvirt there refuses another guest of the name")
	default:
		return err
	}
	return nil
}
