package versions

import (
	"strings"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// A testCase is one way in which a guest goes from host-a to host-b.
type testCase struct {
	name   string
	spec   lab.GuestSpec // with 64 MiB of memory, and the newest machine type that both hosts have
	config string        // TOML before the tables of peers; patient if empty
	peer   string        // TOML of the other host's table
	often  bool          // it is tried without -all, too
	// run moves the guest. If a fault of libvirt's or QEMU's keeps it from that, as it must, run
	// returns what it is.
	run func(s *stage) (fault string)
}

var cases = []*testCase{
	{name: "sluice migrate", often: true, run: bySluice()},
	{name: "with disks", often: true, spec: disks, run: bySluice("--copy-storage-all")},
	{name: "with virtio disks", spec: lab.GuestSpec{DisksMiB: []int{16, 3}}, run: withVirtioDisks},
	{name: "in parallel", often: true, run: bySluice("--parallel-connections", "4")},
	{name: "in parallel, zlib", spec: calm, run: compressed("zlib")},
	{name: "in parallel, zstd", spec: calm, run: compressed("zstd")},
	{name: "disks' zeroes", spec: disks, run: zeroes},
	{name: "paused", spec: lab.GuestSpec{Paused: true}, run: bySluice()},
	{name: "paused, twice", spec: lab.GuestSpec{Paused: true, NVRAM: true}, run: pausedTwice},
	{name: "QEMU's own TLS", often: true, run: byVirsh(peerSocket, "QEMU's own TLS", "--p2p", "--tls")},
	{name: "post-copy", often: true, spec: busy, run: postCopy("--postcopy", "--bandwidth", "32")},
	{name: "post-copy, resumed", spec: busy, config: hasty, run: resumed},
	{name: "post-copy in parallel", spec: busy, run: postCopyInParallel},
	{name: "post-copy in parallel, " + lab.OldMachine, spec: lab.GuestSpec{DirtyMiB: 32, Machine: lab.OldMachine}, run: postCopyInParallel},
	{name: "virtiofs", spec: shares, config: "accept.shared_folders = [\"/var/lib/libvirt\"]\n" + patient, run: withVirtiofs},
	{name: "virsh, p2p, peer's socket", often: true, spec: disks, run: byVirsh(peerSocket, "sluice", "--p2p", "--copy-storage-all")},
	{name: "virsh, managed, peer's socket", spec: disks, run: byVirsh(peerSocket, "sluice", "--copy-storage-all")},
	{name: "virsh, p2p, qemu+tls", spec: disks, run: byVirsh(tlsURI, "sluice", "--p2p", "--copy-storage-all")},
	{name: "virsh, managed, qemu+tls", often: true, spec: disks, run: byVirsh(tlsURI, "sluice", "--copy-storage-all")},
	{name: "virsh, intercepted", often: true, spec: disks, peer: "[intercept]\n", run: intercepted},
}

var disks = lab.GuestSpec{DisksMiB: []int{16, 3}, IDE: true}

// shares has a folder of the host's, which is the same on the other.
var shares = lab.GuestSpec{
	Elements: "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>",
	Devices:  "<filesystem type='mount'><driver type='virtiofs'/><source dir='/var/lib/libvirt/images'/><target dir='shared'/></filesystem>",
}

// calm dirties as little as there is. QEMU's zlib gets some 45 MiB of the guest's memory, which does not
// compress, through a processor in a second: less than a pass in the downtime, if others need that
// processor, and the migration would not end.
var calm = lab.GuestSpec{DirtyMiB: 1}

// busy dirties memory faster than it goes through: pre-copy would never end.
var busy = lab.GuestSpec{DirtyMiB: 32}

// patient is what limits are unless a case sets its own: nothing here waits for one of them.
const patient = "[limits]\nhandshake_timeout = \"1m\"\nprepare_timeout = \"2m\"\nfinish_timeout = \"2m\"\nidle_timeout = \"2m\"\n"

// hasty finds out soon that a link is cut.
const hasty = "[limits]\nhandshake_timeout = \"2s\"\nprepare_timeout = \"30s\"\nfinish_timeout = \"1s\"\nidle_timeout = \"1s\"\n"

const (
	peerSocket = "qemu+unix:///system?socket=/run/sluice/peers/host-b/libvirt.sock"
	tlsURI     = "qemu+tls://host-b/system"
)

func bySluice(args ...string) func(*stage) string {
	return func(s *stage) string {
		s.secretly(func() {
			r := s.migrate(args...).want(control.Moved)
			if r.Carried < uint64(s.g.Spec.MemoryMiB-1)<<20 || r.TLS != "TLS1.3" || r.Group != "X25519-MLKEM768" {
				s.t.Errorf("the result is %+v", r)
			}
		})
		return ""
	}
}

func compressed(method string) func(*stage) string {
	level := "comp-" + method + "-level"
	return func(s *stage) string {
		args := []string{"--parallel", "--comp-methods", method, "--" + level, "2"}
		if fault := s.lacks(noMultifdCompression, args...); fault != "" {
			return fault
		}
		s.set(args, `"multifd-compression":"`+method+`"`, `"multifd-`+method+`-level":2`)
		return ""
	}
}

// What libvirt did not have from the first.
var (
	noMultifdCompression = &virt.Fault{Program: "libvirt", Till: "9.4.0", Text: "it does not compress what parallel connections carry"}
	noZeroes             = &virt.Fault{Program: "libvirt", Till: "11.1.0", Text: "it does not look for a disk's zeroes (10.9), or has no bandwidth for the switch"}
	noTargetZero         = &virt.Fault{Program: "libvirt", Till: "12.2.0"}
)

// lacks has sluice refuse options that libvirt at one of the hosts does not have, if one has not.
func (s *stage) lacks(f *virt.Fault, args ...string) (fault string) {
	s.t.Helper()
	if !s.hasA.Has(f) && !s.hasB.Has(f) {
		return ""
	}
	s.migrate(args...).stays("needs libvirt")
	return "libvirt before " + strings.TrimSuffix(f.Till, ".0") + ": " + f.Text
}

// zeroes are looked for on one disk, and libvirt 12.2 is told that the other's file has nothing else.
func zeroes(s *stage) string {
	args := []string{"--copy-storage-all", "--migrate-disks-detect-zeroes", "hda", "--available-switchover-bandwidth", "1000"}
	if fault := s.lacks(noZeroes, args...); fault != "" {
		return fault
	}
	if !s.hasA.Has(noTargetZero) && !s.hasB.Has(noTargetZero) {
		args = append(args, "--migrate-disks-target-zero", "hdb")
	}
	s.set(args, `"avail-switchover-bandwidth":1048576000`)
	return ""
}

// set moves the guest, and QEMU at the source must have these parameters meanwhile. What the guest
// dirties would never get through in its downtime at the rate by which there is time to look.
func (s *stage) set(args []string, parameters ...string) {
	s.t.Helper()
	s.secretly(func() {
		m := s.migrate(append(args, "--bandwidth", "8")...)
		m.until(control.PhaseMemory)
		out, err := s.A.Virsh(s.ctx, "qemu-monitor-command", s.g.Name, `{"execute":"query-migrate-parameters"}`)
		s.check(err)
		for _, p := range parameters {
			if !strings.Contains(out, p) {
				s.t.Errorf("QEMU's parameters lack %s:\n%s", p, out)
			}
		}
		_, err = s.A.Virsh(s.ctx, "migrate-setspeed", s.g.Name, "1000")
		s.check(err)
		m.want(control.Moved)
	})
}

func byVirsh(uri, memory string, args ...string) func(*stage) string {
	return func(s *stage) string {
		s.secretly(func() { s.virsh(uri, args...) })
		s.carried("steered", memory)
		return ""
	}
}

func intercepted(s *stage) string {
	s.intercept()
	if s.direction.to.modular {
		s.listenByTCP(s.B)
	}
	s.secretly(func() { s.virsh("qemu+tcp://host-b/system", "tcp:host-b", "--copy-storage-all") })
	s.carried("intercept", "sluice")
	return ""
}

// withVirtioDisks: QEMU 11.1 compares the queues of a device that nothing has set up with its own.
func withVirtioDisks(s *stage) string {
	if s.direction == (direction{debian13, debianTesting}) {
		s.migrate("--copy-storage-all").stays("QEMU has ended on host-b")
		return virtioUntouched
	}
	return bySluice("--copy-storage-all")(s)
}

const virtioUntouched = "QEMU 11.1: it takes no virtio disk or virtiofs from QEMU 10.0 that neither firmware nor a driver has set up"

// withVirtiofs: libvirt at the source says what may not leave, and sluice what the destination can't
// take.
func withVirtiofs(s *stage) string {
	fault := "QEMU before 8.2: " + virt.VirtiofsStays.Text
	switch {
	case s.hasA.Has(virt.VirtiofsStays):
		s.migrate().stays("vhost-user-fs")
		return fault
	case s.hasB.Has(virt.VirtiofsStays):
		s.migrate().stays(virt.VirtiofsStays.Text)
		s.virshFails(peerSocket, virt.VirtiofsStays.Text, "--p2p")
		return fault
	case s.direction == (direction{debian13, debianTesting}):
		s.migrate().stays("QEMU has ended on host-b")
		return virtioUntouched
	}
	s.migrate().want(control.Moved)
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.B))
	return ""
}

// pausedTwice moves a paused guest with an image that is not copied, and back again.
func pausedTwice(s *stage) string {
	bySluice()(s)
	back := s.site.B.Command(s.ctx, "migrate", "--json", s.g.Name, lab.HostA)
	if !s.hasB.Has(virt.InactiveImages) {
		if out, err := back.CombinedOutput(); err != nil {
			s.t.Fatalf("back again: %v: %s", err, out)
		}
		s.check(s.CheckOnlyOn(s.ctx, s.g, s.A))
		return ""
	}
	if out, err := back.CombinedOutput(); err == nil || !strings.Contains(string(out), virt.InactiveImages.Text) {
		s.t.Errorf("back again: %v: %s\nwhich lacks %q", err, out, virt.InactiveImages.Text)
	}
	s.check(s.CheckOnlyOn(s.ctx, s.g, s.B))
	return "QEMU before 10.0: " + virt.InactiveImages.Text
}

// stays waits for the end of a migration that fails, in these words, and leaves the guest.
func (m *migration) stays(words string) {
	m.s.t.Helper()
	if r := m.want(control.Failed); !strings.Contains(r.Message, words) {
		m.s.t.Errorf("sluice migrate says\n  %s\nwhich lacks %q", r.Message, words)
	}
	m.s.check(m.s.CheckOnlyOn(m.s.ctx, m.s.g, m.s.A))
}

// postCopyInParallel is what QEMU takes and survives from 10.1 on, but with old machine types.
func postCopyInParallel(s *stage) string {
	args := []string{"--postcopy", "--bandwidth", "32", "--parallel-connections", "2"}
	switch {
	case s.hasB.Has(virt.ParallelLosesGuest):
		s.migrate(append(args, "--unsafe")...).stays(virt.ParallelLosesGuest.Text)
		return "QEMU before 10.1: " + virt.ParallelLosesGuest.Text
	case s.hasA.Has(virt.ParallelLosesGuest): // QEMU refuses it by itself
		s.migrate(args...).stays("leave out one of --postcopy and --parallel")
		return "QEMU before 10.1: " + virt.ParallelLosesGuest.Text
	case s.g.Spec.Machine == lab.OldMachine:
		s.migrate(args...).stays(virt.ParallelPostCopy.Text)
		for _, uri := range []string{peerSocket, tlsURI} {
			s.virshFails(uri, virt.ParallelPostCopy.Text, "--p2p", "--postcopy", "--parallel")
		}
		s.migrate(append(args, "--unsafe", "--timeout", "8")...).stays("--timeout")
		return "QEMU from 10.1 on: " + virt.ParallelPostCopy.Text
	}
	return postCopy(args...)(s)
}

func postCopy(args ...string) func(*stage) string {
	return func(s *stage) string {
		s.secretly(func() {
			m := s.migrate(args...)
			m.until(control.PhasePost)
			m.want(control.Moved)
		})
		return ""
	}
}
