package test

import (
	"net"
	"os"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// libvirt is found where it listens, whatever sockets earlier ones have left behind, and while the
// daemon runs.
func TestLibvirtSocketFound(t *testing.T) {
	t.Parallel()
	const libvirtd, virtqemud = "/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"
	s := newSite(t)
	usual, modular := s.A.Path(libvirtd), s.A.Path(virtqemud)
	// The socket that libvirtd listens at goes on under the other name.
	s.check(os.Rename(usual, modular))
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: usual, Net: "unix"})
	s.check(err)
	stale.SetUnlinkOnClose(false)
	s.check(stale.Close())
	a, b := s.both(conf{})
	if at := a.status().Libvirt; at != virtqemud {
		t.Errorf("status shows libvirt at %s", at)
	}
	s.check(os.Remove(usual))
	s.check(os.Rename(modular, usual))
	g := s.guest(lab.GuestSpec{})
	moved(a.migrate(g.Name), g, a, b)
	if at := a.status().Libvirt; at != libvirtd {
		t.Errorf("status shows libvirt at %s", at)
	}
	s.nothingLeft()
}
