package test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// description writes what libvirt on host-a would send of a guest, with a replacement, and returns
// where it lies on host-a.
func (s *site) description(g *lab.Guest, was, is string) (path string) {
	s.t.Helper()
	text := s.virsh(s.A, "dumpxml", "--migratable", g.Name)
	if !strings.Contains(text, was) {
		s.t.Fatalf("no %s in\n%s", was, text)
	}
	path = "/run/" + g.Name + "-described.xml"
	s.check(os.WriteFile(s.A.Path(path), []byte(strings.ReplaceAll(text, was, is)), 0o600))
	s.t.Cleanup(func() { os.Remove(s.A.Path(path)) })
	return path
}

// One disk is on storage that both hosts reach, or so libvirt is told, and the other is copied.
func TestMigrateDisks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8, 6}})
	s.check(g.CreateDisks(s.B))
	untouched := fileOn(s, s.B, g.DiskPath(0))
	a.migrate(g.Name, "--migrate-disks", "vdb").refused("--copy-storage-all")
	m := a.migrate(g.Name, "--copy-storage-all", "--migrate-disks", "vdb", "--copy-storage-synchronous-writes", "--abort-on-error", "--unsafe")
	moved(m, g, a, b)
	if !bytes.Equal(fileOn(s, s.A, g.DiskPath(1)), fileOn(s, s.B, g.DiskPath(1))) {
		t.Error("the disk that was to be copied differs")
	}
	if !bytes.Equal(untouched, fileOn(s, s.B, g.DiskPath(0))) {
		t.Error("the disk that was not to be copied was written")
	}
	s.nothingLeft()
}

func fileOn(s *site, h *lab.Host, path string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(h.Path(path))
	s.check(err)
	return b
}

// refused waits for the end of a command that begins nothing.
func (m *migration) refused(words ...string) {
	m.s.t.Helper()
	<-m.exited
	if status := m.cmd.ProcessState.ExitCode(); status != 2 {
		m.s.t.Errorf("sluice migrate ended with status %d, want 2: %s", status, &m.stderr)
	}
	said := m.stderr.String()
	if r := m.events.Result(); r != nil {
		said += r.Message
	}
	says(m.s.t, "sluice migrate", said, words...)
}

// A guest has another name, another path of a disk and another definition at the destination.
func TestMigrateDescriptions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{4}, Persistent: true})
	const there = "/var/lib/libvirt/images/elsewhere.raw"
	s.check(s.B.CreateDisk(there, 4))
	for _, option := range []string{"--xml", "--persistent-xml"} {
		r := a.migrate(g.Name, "--copy-storage-all", "--persistent", option, s.odd(g, "/etc/odd")).stays(control.Failed, 1, "/etc/odd", "accept.char_files")
		if r.Carried != 0 {
			t.Errorf("%d bytes were carried", r.Carried)
		}
	}
	defined := strings.Replace(lab.SerialFiles, "*", "defined", 1)
	m := a.migrate(g.Name, "--dname", "renamed", "--xml", s.description(g, g.DiskPath(0), there), "--copy-storage-all",
		"--persistent", "--undefinesource", "--persistent-xml", s.odd(g, defined))
	r := m.want(control.Moved, 0)
	says(t, "the message", r.Message, "runs on host-b, as renamed")
	if left := s.virsh(s.A, "list", "--all", "--name"); left != "" {
		t.Errorf("host-a still has %q", left)
	}
	if state := s.virsh(s.B, "domstate", "renamed"); state != "running" {
		t.Errorf("the guest is %s", state)
	}
	if text := s.virsh(s.B, "dumpxml", "renamed"); !strings.Contains(text, there) {
		t.Errorf("it runs by\n%s", text)
	}
	if text := s.virsh(s.B, "dumpxml", "--inactive", "renamed"); !strings.Contains(text, defined) {
		t.Errorf("it is defined by\n%s", text)
	}
	if !bytes.Equal(fileOn(s, s.A, g.DiskPath(0)), fileOn(s, s.B, there)) {
		t.Error("the disk differs")
	}
	// And back under its old name, with its memory intact.
	b.migrate("renamed", "--dname", g.Name, "--unsafe", "--persistent", "--undefinesource").want(control.Failed, 1) // no such disk here
	s.check(s.A.CreateDisk(there, 4))
	b.migrate("renamed", "--dname", g.Name, "--copy-storage-all", "--persistent", "--undefinesource").want(control.Moved, 0)
	s.onlyOn(g, s.A)
}

// The definition moves alone, of a guest that runs and of one that does not.
func TestOffline(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{Persistent: true})
	a.migrate(g.Name, "--offline").refused("--persistent")
	r := a.migrate(g.Name, "--offline", "--persistent", "--dname", "twin").want(control.Moved, 0)
	says(t, "the message", r.Message, "defined on host-b, as twin")
	if r.Carried != 0 {
		t.Errorf("%d bytes were carried", r.Carried)
	}
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))
	if state := s.virsh(s.B, "domstate", "twin"); state != "shut off" {
		t.Errorf("on host-b it is %s", state)
	}
	s.virsh(s.B, "undefine", "twin")
	s.virsh(s.A, "destroy", g.Name)
	a.migrate(g.Name).refused("--offline --persistent")
	a.migrate(g.Name, "--offline", "--persistent", "--undefinesource").want(control.Moved, 0)
	if left := s.virsh(s.A, "list", "--all", "--name"); left != "" {
		t.Errorf("host-a still defines %q", left)
	}
	if state := s.virsh(s.B, "domstate", g.Name); state != "shut off" {
		t.Errorf("on host-b it is %s", state)
	}
	s.nothingLeft()
}

// The same by libvirtd alone at the destination.
func TestOptionsWithoutSluice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.withoutSluice(s.B, libvirtTLSPort, "host-b")
	a := s.start(s.A, conf{peers: bareTable(s.B, "plain")})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{4, 5}, Persistent: true})
	s.check(g.CreateDisks(s.B))
	r := a.migrate(g.Name, "--offline", "--persistent", "--dname", "twin").want(control.Moved, 0)
	if len(r.Warnings) != 1 || strings.Contains(r.Warnings[0], "clear") {
		t.Errorf("the warnings are %q", r.Warnings)
	}
	if state := s.virsh(s.B, "domstate", "twin"); state != "shut off" {
		t.Errorf("on host-b it is %s", state)
	}
	s.virsh(s.B, "undefine", "twin")
	untouched := fileOn(s, s.B, g.DiskPath(0))
	a.migrate(g.Name, "--copy-storage-all", "--migrate-disks", "vdb", "--unsafe", "--comp-methods", "xbzrle", "--suspend").want(control.Moved, 0)
	if state := s.virsh(s.B, "domstate", g.Name); state != "paused" {
		t.Errorf("on host-b it is %s", state)
	}
	s.virsh(s.B, "resume", g.Name)
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	if !bytes.Equal(fileOn(s, s.A, g.DiskPath(1)), fileOn(s, s.B, g.DiskPath(1))) || !bytes.Equal(untouched, fileOn(s, s.B, g.DiskPath(0))) {
		t.Error("another disk was copied than the one that was to be")
	}
	s.nothingLeft()
}

func TestSuspend(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	r := a.migrate(g.Name, "--suspend").want(control.Moved, 0)
	says(t, "the message", r.Message, "is on host-b, paused", "virsh resume "+g.Name)
	if state := s.virsh(s.B, "domstate", g.Name); state != "paused" {
		t.Errorf("on host-b it is %s", state)
	}
	s.virsh(s.B, "resume", g.Name)
	s.onlyOn(g, s.B)
}

// libvirt's clients are told why zero copy can't be, before their guest is touched.
func TestZeroCopy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	for _, uri := range []string{a.uri(), s.tlsURI("host-a")} {
		for _, args := range [][]string{{"--p2p"}, {}} {
			s.virshMigrates(s.A, g, uri, append(args, "--parallel", "--zerocopy")...).fails("zero copy takes a TCP connection", "leave out --zerocopy")
		}
	}
	s.onlyOn(g, s.A)
}

// QEMU at the source is asked for what it was told. At the destination libvirt lets nobody ask as long
// as a guest comes in; without the capability for mt it could not read what comes.
func TestMigrateParameters(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	m := a.migrate(g.Name, "--bandwidth", "16", "--compressed", "--comp-methods", "xbzrle", "--comp-xbzrle-cache", "33554432",
		"--auto-converge", "--auto-converge-initial", "30", "--auto-converge-increment", "7", "--postcopy", "--postcopy-bandwidth", "5")
	m.halfway()
	has(s, s.A, g, "migrate_capabilities", "xbzrle: on", "auto-converge: on")
	has(s, s.A, g, "migrate_parameters", "xbzrle-cache-size: 33554432", "cpu-throttle-initial: 30", "cpu-throttle-increment: 7", "max-postcopy-bandwidth: 5242880")
	moved(m, g, a, b)
	m = b.migrate(g.Name, "--bandwidth", "16", "--comp-methods", "mt", "--comp-mt-level", "1", "--comp-mt-threads", "3", "--comp-mt-dthreads", "2")
	m.halfway()
	has(s, s.B, g, "migrate_capabilities", "compress: on")
	has(s, s.B, g, "migrate_parameters", "compress-level: 1", "compress-threads: 3")
	m.want(control.Moved, 0)
	s.onlyOn(g, s.A)
}

func has(s *site, h *lab.Host, g *lab.Guest, command string, words ...string) {
	s.t.Helper()
	says(s.t, command+" on "+h.Name, s.virsh(h, "qemu-monitor-command", g.Name, "--hmp", "info "+command), words...)
}

// What libvirt here is too old for is said, before anything is begun.
func TestMigrateTooOld(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{1}})
	for _, o := range control.Options {
		switch {
		case o.Since == 0:
		case o.List:
			a.migrate(g.Name, "--copy-storage-all", "--"+o.Name, "vda").refused("--"+o.Name+" needs libvirt", "on both hosts, and host-a has")
		case strings.HasPrefix(o.Name, "comp-"):
			method := strings.Split(o.Name, "-")[1]
			a.migrate(g.Name, "--parallel", "--comp-methods", method, "--"+o.Name, "1").refused("--comp-methods needs libvirt 9.4.0")
		default:
			a.migrate(g.Name, "--"+o.Name, "1").refused("--"+o.Name+" needs libvirt", "on both hosts, and host-a has")
		}
	}
	s.onlyOn(g, s.A)
}
