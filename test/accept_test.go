package test

import (
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
)

// odd writes a guest's description, as libvirt on host-a would send it, with its serial port in
// another file, and returns where it lies on host-a.
func (s *site) odd(g *lab.Guest, file string) (path string) {
	s.t.Helper()
	text := s.virsh(s.A, "dumpxml", "--migratable", g.Name)
	was := strings.Replace(lab.SerialFiles, "*", g.Name, 1)
	if !strings.Contains(text, was) {
		s.t.Fatalf("no %s in\n%s", was, text)
	}
	path = "/run/" + g.Name + "-odd.xml"
	s.check(os.WriteFile(s.A.Path(path), []byte(strings.ReplaceAll(text, was, file)), 0o600))
	s.t.Cleanup(func() { os.Remove(s.A.Path(path)) })
	return path
}

// A description names a file that a root's process would write.
func TestAcceptDescription(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	const there = "/etc/libvirt/hooks-here"
	for _, args := range [][]string{{"--p2p"}, {}, {"--p2p", "--tunnelled"}} {
		v := a.virshStart(g, append(args, "--xml", s.odd(g, there))...)
		v.fails("access denied: ", "<devices/serial/source> asks for \""+there+"\"", "accept.char_files", "host-b")
	}
	b.logged("access denied", "host-a", there)
	if _, err := os.Lstat(s.B.Path(there)); err == nil {
		t.Errorf("%s is there", there)
	}
	s.onlyOn(g, s.A)
}

// The description by which libvirt is to define a persistent guest comes last, when its memory is
// here.
func TestAcceptPersistent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{Persistent: true})
	a.virshMigrate(b, g, "--p2p", "--persistent", "--undefinesource", "--persistent-xml", s.odd(g, "/etc/odd"))
	b.logged("persistent description is left out", "/etc/odd")
	if text := s.virsh(s.B, "dumpxml", "--inactive", g.Name); strings.Contains(text, "/etc/odd") || !strings.Contains(text, ".serial") {
		t.Errorf("host-b has defined\n%s", text)
	}
	s.nothingLeft()
}

// What a peer's guests may ask for is the peer's own setting, by whatever way they come.
func TestAcceptOfPeer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	narrow := "[peers.host-a]\n[peers.host-a.accept]\nfolders = [\"/srv/guests\"]\n"
	a := s.start(s.A, conf{peers: "[peers.host-b]\naccess = \"full\"\n"})
	b := s.start(s.B, conf{peers: narrow})
	g := s.guest(lab.GuestSpec{})
	words := []string{"<os/loader> asks for \"/var/lib/libvirt/images/", "accept.firmware", "host-b"}
	refused(a, g, words...)
	// Taken by a client of host-b's, whose libvirt here no sluice stands before.
	s.virshFails(s.B, []string{"-c", b.uri(), "migrate", "--live", g.Name, "qemu:///system"}, words...)
	s.onlyOn(g, s.A)
}

// A peer that may only look has no program run, and brings no guest.
func TestAcceptReadOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.start(s.A, conf{})
	s.start(s.B, conf{peers: "[peers.host-a]\naccess = \"read-only\"\n"})
	g := s.guest(lab.GuestSpec{})
	for _, program := range []string{"/usr/bin/id", "/usr/bin/qemu-system-x86_64"} {
		_, errs, status := s.run(s.A, "virsh", "-c", a.uri(), "domcapabilities", "--emulatorbin", program)
		if status == 0 {
			t.Errorf("%s was run", program)
		}
		if program == "/usr/bin/id" {
			says(t, "virsh", errs, "access denied: libvirtd would run")
		}
	}
	a.virshStart(g, "--p2p").fails("host-b: access denied", "read-only")
	s.onlyOn(g, s.A)
}
