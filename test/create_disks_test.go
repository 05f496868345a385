package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// An image, and the file with its data.
const (
	mapPath  = "/var/lib/libvirt/images/map.qcow2"
	dataPath = "/var/lib/libvirt/images/map.data"
)

// Disks that the destination lacks are made there, like those at the source: raw, grown while the
// guest runs, qcow2 with the file beneath. What is there is left as it is.
func TestCreateDisks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		copy  string
		chain int // images in the chain of the qcow2 disk at the destination
	}{
		"whole":       {"--copy-storage-all", 1},
		"incremental": {"--copy-storage-inc", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &guestMove{site: newSite(t), had: make(map[string]string)}
			a, b := m.both(conf{})
			makeChain(m)
			// One has its data in a file of its own, of which this libvirt does not know.
			m.do(m.A, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file="+dataPath, mapPath, "4M")
			m.do(m.A, "qemu-io", "-c", "write -q -P 0x3c 1M 2M", mapPath)
			m.check(lab.GiveToQEMU(m.A.Path(dataPath)))
			m.g = m.guest(lab.GuestSpec{DisksMiB: []int{8, 6}, Devices: qcow2("vdc", topPath) + qcow2("vdd", mapPath)})
			m.virsh(m.A, "blockresize", m.g.UUID, "vda", "12M")
			had := []string{m.content(m.A, topPath), m.content(m.A, mapPath)}
			if c.chain == 1 {
				m.check(os.Remove(m.B.Path(basePath)))
			}
			m.lacks(m.B, m.g.DiskPath(0), m.g.DiskPath(1), topPath, mapPath, dataPath)
			m.check(m.B.CreateDisk(m.g.DiskPath(1), 6))

			r := moved(a.migrate(m.g.Name, c.copy, "--create-disks"), m.g, a, b)
			want := []string{m.g.DiskPath(0), topPath, mapPath}
			for who, made := range map[string][]string{"the result": r.DisksMade, "host-a": a.ended().DisksMade, "host-b": b.ended().DisksMade} {
				if !slices.Equal(made, want) {
					t.Errorf("%s has %q as made, want %q", who, made, want)
				}
			}
			m.check(m.CompareDisks(m.ctx, m.g))
			if now := []string{m.content(m.B, topPath), m.content(m.B, mapPath)}; !slices.Equal(now, had) {
				t.Errorf("the content of %s and %s is %q, and was %q", topPath, mapPath, now, had)
			}
			info := m.do(m.B, "qemu-img", "info", "-U", "--backing-chain", topPath)
			if n := strings.Count(info, "cluster_size:"); n != c.chain {
				t.Errorf("%d images in the chain, want %d:\n%s", n, c.chain, info)
			}
			uid, _, err := lab.QEMUUser()
			m.check(err)
			for _, path := range want {
				st, err := os.Stat(m.B.Path(path))
				m.check(err)
				if owner := st.Sys().(*syscall.Stat_t).Uid; owner != uint32(uid) || st.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s belongs to %d, with mode %v", path, owner, st.Mode())
				}
			}
			b.nothingNoted()
			m.nothingLeft()
		})
	}
}

// lacks removes files that earlier tests may have left on a host.
func (s *site) lacks(h *lab.Host, paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		if err := os.Remove(h.Path(path)); !errors.Is(err, fs.ErrNotExist) {
			s.check(err)
		}
	}
}

// nothingNoted checks that the daemon has settled whose all disks are that it had made, and that
// libvirt has no storage pool of its.
func (d *daemon) nothingNoted() {
	d.s.t.Helper()
	d.s.wait("no disk to be settled", 40*time.Second, func() bool {
		noted, err := os.ReadDir(d.host.Path("/run/sluice/disks"))
		d.s.check(err)
		return len(noted) == 0
	})
	if pools := d.s.virsh(d.host, "pool-list", "--all", "--name"); pools != "" {
		d.s.t.Errorf("storage pools on %s: %q", d.host.Name, pools)
	}
}

// gone checks that a disk that was made is there no longer.
func (d *daemon) gone(path string) {
	d.s.t.Helper()
	d.nothingNoted()
	if _, err := os.Lstat(d.host.Path(path)); !errors.Is(err, fs.ErrNotExist) {
		d.s.t.Errorf("%s is there: %v", path, err)
	}
}

// However a migration fails, the disks that were made for it are gone, and it can be tried again.
func TestCreatedDisksGone(t *testing.T) {
	t.Parallel()
	const removed = "host-b removes the disks that it has made"
	for name, c := range map[string]struct {
		limits string
		strike func(s *site, a, b *daemon, g *lab.Guest, m *migration)
		told   bool // the source's message says what becomes of them
	}{
		"cancelled": {"", func(s *site, a, b *daemon, g *lab.Guest, m *migration) {
			s.check(m.cmd.Process.Signal(syscall.SIGINT))
			m.stays(control.Cancelled, 3, "the caller cancelled the migration")
		}, true},
		"link cut": {patience + "idle_timeout = \"2s\"\n", func(s *site, a, b *daemon, g *lab.Guest, m *migration) {
			s.check(s.CutLink())
			m.stays(control.Failed, 1, "the link is down, or the host is frozen")
			b.ended()
			s.check(s.RestoreLink())
		}, true},
		"sluice killed": {"", func(s *site, a, b *daemon, g *lab.Guest, m *migration) {
			b.killed()
			m.stays(control.Failed, 1, "killed")
			b.start()
		}, true},
		"libvirtd killed": {"", func(s *site, a, b *daemon, g *lab.Guest, m *migration) {
			s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL))
			m.stays(control.Failed, 1, "stopped, or has crashed")
			b.ended()
			s.check(s.B.StartLibvirtd(s.ctx))
		}, true},
		"both killed": {"", func(s *site, a, b *daemon, g *lab.Guest, m *migration) {
			b.killed()
			s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGKILL))
			m.stays(control.Failed, 1, "killed")
			b.start()
			s.check(s.B.StartLibvirtd(s.ctx))
		}, true},
		"QEMU killed": {"", func(s *site, a, b *daemon, g *lab.Guest, m *migration) {
			s.killQEMU(g, s.B)
			m.stays(control.Failed, 1, "host-b")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a, b := s.both(conf{limits: c.limits})
			g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
			s.lacks(s.B, g.DiskPath(0))
			m := a.migrate(g.Name, append(slower, "--copy-storage-all", "--create-disks")...)
			m.halfway()
			if made := b.live().DisksMade; !slices.Equal(made, []string{g.DiskPath(0)}) {
				t.Errorf("host-b has %q as made", made)
			}
			c.strike(s, a, b, g, m)
			if r := m.events.Result(); c.told {
				says(t, "the message", r.Message, removed)
			}
			b.gone(g.DiskPath(0))
			s.onlyOn(g, s.A)
			moved(a.migrate(g.Name, "--copy-storage-all", "--create-disks"), g, a, b)
			s.check(s.CompareDisks(s.ctx, g))
			b.nothingNoted()
			s.nothingLeft()
		})
	}
}

// slower leaves time for what a test does meanwhile: half a minute and more.
var slower = []string{"--bandwidth", "2"}

// What can't be made is refused in words, with nothing begun and nothing left.
func TestCreateDisksRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	create := []string{"--copy-storage-all", "--create-disks"}
	path := g.DiskPath(0)
	s.lacks(s.B, path)
	a.migrate(g.Name, "--create-disks").refused("--copy-storage-all", "--copy-storage-inc")

	elsewhere := func(path string) []string {
		return append(slices.Clone(create), "--xml", s.description(g, g.DiskPath(0), path))
	}
	a.migrate(g.Name, elsewhere("/var/lib/libvirt/images/none/g.raw")...).stays(control.Failed, 1, "host-b: libvirt", "opening the folder /var/lib/libvirt/images/none")
	a.migrate(g.Name, elsewhere("/srv/g.raw")...).stays(control.Failed, 1, "host-b", "/srv/g.raw", "it lies in no folder for guests' images")
	b.gone("/srv/g.raw")

	// A link that leads elsewhere, and to nothing.
	const link = "/var/lib/libvirt/images/link.raw"
	s.check(os.Symlink("/var/lib/libvirt/images/target.raw", s.B.Path(link)))
	a.migrate(g.Name, elsewhere(link)...).stays(control.Failed, 1, "host-b", link, "leads to nothing")
	b.gone("/var/lib/libvirt/images/target.raw")
	s.check(os.Remove(s.B.Path(link)))

	// A file system that is too small for what the disk may grow to.
	const small = "/var/lib/libvirt/images/small"
	s.check(os.MkdirAll(s.B.Path(small), 0o755))
	if out, errs, status := s.run(s.B, "mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", small); status != 0 {
		t.Fatal(out, errs)
	}
	a.migrate(g.Name, elsewhere(small+"/g.raw")...).stays(control.Failed, 1, "host-b", small, "free", "8 MiB")
	b.nothingNoted()

	// The destination's guest of another name has the file meanwhile: it is kept, with a word.
	m := a.migrate(g.Name, append(slower, create...)...)
	m.halfway()
	other := strings.Replace(s.virsh(s.A, "dumpxml", "--inactive", g.Name), "<name>g</name>", "<name>other</name>", 1)
	other = strings.Replace(other, g.UUID, "6a8b2a3c-0f3e-4d27-9c55-0c8f6d3c2b11", 1)
	s.virsh(s.B, "define", s.write("other.xml", []byte(other)))
	s.check(m.cmd.Process.Signal(syscall.SIGINT))
	m.stays(control.Cancelled, 3)
	b.logged("disks that were made for a guest are kept", "guest other has "+path, path)
	if _, err := os.Stat(s.B.Path(path)); err != nil {
		t.Error(err)
	}
	s.virsh(s.B, "undefine", "other")
	s.check(os.Remove(s.B.Path(path)))
	moved(a.migrate(g.Name, create...), g, a, b)
	b.nothingNoted()
	s.nothingLeft()
}

// An image beneath is read as qcow2 only where its header leads to nothing but images: a guest whose
// raw disk it is could have written one, with any file of the host's beneath.
func TestCreateDisksBeneath(t *testing.T) {
	t.Parallel()
	m := &guestMove{site: newSiteFor(t, 3*testTimeout)}
	a, b := m.both(conf{})
	makeChain(m)
	m.g = m.guest(lab.GuestSpec{DisksMiB: []int{8}, Devices: qcow2("vdc", topPath)})
	m.lacks(m.B, m.g.DiskPath(0), topPath)
	create := []string{"--copy-storage-inc", "--create-disks"}
	stays := func(words ...string) {
		t.Helper()
		a.migrate(m.g.Name, create...).stays(control.Failed, 1, append(words, "host-b", "can't be made", basePath)...)
		b.gone(topPath)
		b.nothingNoted()
	}
	base := func(args ...string) {
		t.Helper()
		m.check(os.Remove(m.B.Path(basePath)))
		m.do(m.B, "qemu-img", append([]string{"create", "-q", "-f", "qcow2"}, args...)...)
	}
	base("-u", "-F", "raw", "-b", "/etc/shadow", basePath, "8M")
	stays("an image that may not be read", "/etc/shadow", "it lies in no folder for guests' images")
	base("-u", "-F", "raw", "-b", "nbd:host-c:10809", basePath, "8M")
	stays("based on what is no file")
	base("-o", "data_file=/var/lib/libvirt/images/data.raw", basePath, "8M") // qemu-img would write to any that it names
	stays("has its data in another file")
	base(basePath, "8M")
	other := strings.NewReplacer("<name>g</name>", "<name>other</name>", m.g.UUID, "6a8b2a3c-0f3e-4d27-9c55-0c8f6d3c2b11", m.g.DiskPath(0), basePath).
		Replace(m.virsh(m.A, "dumpxml", "--inactive", m.g.Name))
	m.virsh(m.B, "define", m.write("other.xml", []byte(other)))
	stays("is no qcow2 image to guest other")
	m.virsh(m.B, "undefine", "other")
}

// Two guests whose disks have one file at the destination: the second is refused, and its failure
// takes nothing from the first.
func TestCreateDisksTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g, other := s.guest(lab.GuestSpec{DisksMiB: []int{8}}), s.guest(lab.GuestSpec{Name: "other", DisksMiB: []int{8}})
	s.lacks(s.B, g.DiskPath(0))
	create := []string{"--copy-storage-all", "--create-disks"}
	m := a.migrate(g.Name, append(slower, create...)...)
	m.halfway()
	same := s.description(other, other.DiskPath(0), g.DiskPath(0))
	a.migrate(other.Name, append(create, "--xml", same)...).stays(control.Failed, 1, "host-b", g.DiskPath(0), "is made for guest g, which host-a brings")
	s.virsh(s.A, "migrate-setspeed", g.Name, "1000")
	moved(m, g, a, b)
	s.check(s.CompareDisks(s.ctx, g))
	s.check(s.CheckOnlyOn(s.ctx, other, s.A))
	b.nothingNoted()
	s.nothingLeft()
}

// The file system fills up while a disk is copied.
func TestCreateDisksFull(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	const full = "/var/lib/libvirt/images/full"
	for _, h := range s.Hosts() {
		s.check(os.MkdirAll(h.Path(full), 0o755))
	}
	if out, errs, status := s.run(s.B, "mount", "-t", "tmpfs", "-o", "size=40m,mode=0755", "tmpfs", full); status != 0 {
		t.Fatal(out, errs)
	}
	g := s.guest(lab.GuestSpec{DisksMiB: []int{32}})
	path := filepath.Join(full, "g.raw")
	m := a.migrate(g.Name, append(slower, "--copy-storage-all", "--create-disks", "--xml", s.description(g, g.DiskPath(0), path))...)
	s.wait("the disk is made", 20*time.Second, func() bool {
		_, _, status := s.run(s.B, "test", "-e", path)
		return status == 0
	})
	s.run(s.B, "dd", "if=/dev/zero", "of="+full+"/other", "bs=1M") // as far as there is room
	m.stays(control.Failed, 1, "No space left on device")
	b.nothingNoted()
	if out, _, _ := s.run(s.B, "ls", full); strings.TrimSpace(out) != "other" {
		t.Errorf("%s has %q", full, out)
	}
	s.onlyOn(g, s.A)
}

// A guest that stays at its destination undecided keeps its disks, whatever happens to sluice.
func TestCreatedDisksKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{DisksMiB: []int{8}})
	s.lacks(s.B, g.DiskPath(0))
	moved(a.migrate(g.Name, "--copy-storage-all", "--create-disks"), g, a, b)
	// As if sluice had been killed before it noted that libvirt has taken the guest over.
	id := s.virsh(s.B, "domid", g.Name)
	note := fmt.Sprintf(`{"peer":"host-a","session":"s","uuid":%q,"guest":"g","id":%s,"disks":[{"path":%q,"format":"raw","size":8388608,"made":true}]}`, g.UUID, id, g.DiskPath(0))
	b.killed()
	s.check(os.WriteFile(s.B.Path("/run/sluice/disks/host-a s"), []byte(note), 0o600))
	s.check(os.WriteFile(s.B.Path("/run/sluice/arrivals/host-a s"), fmt.Appendf(nil, `{"peer":"host-a","session":"s","uuid":%q,"id":%s,"verdict":0}`, g.UUID, id), 0o600))
	b.start()
	b.nothingNoted()
	s.check(s.CompareDisks(s.ctx, g))
	s.onlyOn(g, s.B)
}
