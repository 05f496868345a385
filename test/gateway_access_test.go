package test

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A peer may bring guests, and nothing else.
func TestVirshAccess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guestOn(s.B, lab.GuestSpec{})
	denied := func(words string, args ...string) {
		t.Helper()
		s.virshFails(s.A, append([]string{"-c", a.uri()}, args...), "access denied: "+words)
	}
	denied("DOMAIN_DESTROY (procedure 12) is more than", "destroy", g.Name)
	denied("CONNECT_LIST_ALL_STORAGE_POOLS (procedure 281)", "pool-list")
	denied("DOMAIN_SUSPEND", "suspend", g.Name)
	denied("DOMAIN_GET_XML_DESC", "dumpxml", g.Name)
	denied("guest", "domjobabort", g.Name)
	denied("libvirt's QEMU program", "qemu-monitor-command", g.Name, "--hmp", "info status")
	denied("", "vol-delete", "/var/lib/libvirt/images/x.raw")
	denied("DOMAIN_GET_VCPUS", "vcpuinfo", g.Name)
	denied("libvirtd would run", "domcapabilities", "--emulatorbin", "/usr/bin/id")
	for _, uri := range []string{"qemu:///session", "test:///default"} {
		over := strings.Replace(a.uri(), "qemu+unix:///system", "remote+unix://", 1) + "&name=" + strings.ReplaceAll(uri, ":", "%3A")
		s.virshFails(s.A, []string{"-c", strings.Replace(over, "remote+unix://?", "qemu+unix:///system?", 1), "list"}, "access denied: ", "only qemu:///system")
	}
	// A guest of host-b's is not for host-a to take.
	s.virshFails(s.A, []string{"-c", a.uri(), "migrate", "--live", g.Name, "qemu:///system"}, "access denied: ", `peers.host-a.access = "full" on host-b`)
	for _, args := range [][]string{{"list", "--all"}, {"domstate", g.Name}, {"capabilities"}, {"hostname"}, {"uri"}, {"version"}, {"nodeinfo"},
		{"domcapabilities", "--emulatorbin", "/usr/bin/qemu-system-x86_64"}} {
		s.virshSays(s.A, append([]string{"-c", a.uri()}, args...)...)
	}
	b.logged("access denied", "peer host-a", "DOMAIN_DESTROY")
	s.onlyOn(g, s.B)
}
