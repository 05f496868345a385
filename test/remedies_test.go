package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// libvirt's commonest refusals come with what to do about them.
func TestRemedies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, _ := s.both(conf{})
	g := s.guest(lab.GuestSpec{Persistent: true})
	xml := s.virsh(s.A, "dumpxml", "--inactive", g.Name)
	s.virsh(s.A, "destroy", g.Name)

	device := func(text string) func(string) string {
		return func(xml string) string { return strings.Replace(xml, "<devices>", "<devices>"+text, 1) }
	}
	const images = "/var/lib/libvirt/images/"
	disk := func(path string) func(string) string {
		s.check(os.MkdirAll(filepath.Dir(s.A.Path(path)), 0o755))
		s.check(os.WriteFile(s.A.Path(path), make([]byte, 16<<20), 0o600))
		return device("<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='" + path + "'/><target dev='vda' bus='virtio'/></disk>")
	}
	there := func(path string, folder os.FileMode) {
		s.check(os.MkdirAll(filepath.Dir(s.B.Path(path)), 0o755))
		f, err := os.Create(s.B.Path(path))
		s.check(err)
		s.check(f.Truncate(16 << 20))
		s.check(f.Close())
		s.check(os.Chmod(filepath.Dir(s.B.Path(path)), folder))
	}
	on := func(h *lab.Host, command ...string) {
		t.Helper()
		if out, errs, status := s.run(h, command[0], command[1:]...); status != 0 {
			t.Fatalf("%q: %s%s", command, out, errs)
		}
	}
	for _, c := range []struct {
		name  string
		edit  func(string) string // of the guest's description
		setup func()              // once it is defined, and before it is started
		args  []string
		words []string
	}{
		{"disks that are not shared", disk(images + "own.img"), nil, nil, []string{"host-a: libvirt", "--copy-storage-all", "--unsafe"}},
		{"a disk that is missing", disk(images + "missing.img"), nil, []string{"--unsafe"}, []string{"host-b: libvirt", "No such file", "missing.img", "mount the storage there"}},
		{"a disk that QEMU may not open", disk(images + "closed/g.img"), func() { there(images+"closed/g.img", 0o700) }, []string{"--unsafe"},
			[]string{"host-b: libvirt", "ermission denied", "user that QEMU runs as"}},
		{"a destination that is full", disk(images + "full/g.img"), func() {
			s.check(os.MkdirAll(s.B.Path(images+"full"), 0o755))
			on(s.B, "mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", images+"full")
			on(s.B, "truncate", "-s", "16M", images+"full/g.img")
		}, []string{"--copy-storage-all"}, []string{"No space left on device", "virtual size"}},
		{"a disk to be copied to where none is", disk(images + "far/d.img"), nil, []string{"--copy-storage-all"},
			[]string{"host-b: libvirt", "make the disk on host-b", "`qemu-img create -f raw " + images + "far/d.img 16777216`"}},
		{"snapshots", nil, func() {
			snapshot := s.write("snapshot.xml", []byte("<domainsnapshot><name>s1</name><state>shutoff</state><creationTime>1</creationTime>"+s.virsh(s.A, "dumpxml", g.Name)+"</domainsnapshot>"))
			s.virsh(s.A, "snapshot-create", g.Name, snapshot, "--redefine")
		}, nil, []string{"host-a: libvirt", "snapshot", "virsh snapshot-list"}},
		{"a bridge that is missing", device("<interface type='bridge'><source bridge='br7'/><model type='virtio'/></interface>"), func() {
			on(s.A, "ip", "link", "add", "br7", "type", "bridge")
			on(s.A, "ip", "link", "set", "br7", "up")
		}, nil, []string{"host-b: libvirt", "br7", "with the same name"}},
		{"a network that is missing", device("<interface type='network'><source network='lan'/><model type='virtio'/></interface>"), func() {
			s.virsh(s.A, "net-create", s.write("lan.xml", []byte("<network><name>lan</name><forward mode='bridge'/><bridge name='br7'/></network>")))
		}, nil, []string{"host-b: libvirt", "lan", "virsh net-list"}},
		{"a name that is taken", nil, func() {
			other := strings.Replace(xml, "<uuid>"+s.virsh(s.A, "domuuid", g.Name)+"</uuid>", "", 1)
			s.virsh(s.B, "define", s.write("other.xml", []byte(other)))
		}, nil, []string{"host-b: libvirt", "already exists", "virsh domrename"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := xml
			if c.edit != nil {
				text = c.edit(xml)
			}
			s.virsh(s.A, "define", s.write("g.xml", []byte(text)))
			if c.setup != nil {
				c.setup()
			}
			s.virsh(s.A, "start", g.Name)
			a.migrate(g.Name, c.args...).stays(control.Failed, 1, c.words...)
			s.virsh(s.A, "destroy", g.Name)
			s.virsh(s.A, "undefine", g.Name, "--snapshots-metadata")
		})
	}
}
