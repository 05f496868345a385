package test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/virt-sluice/sluice/internal/lab"
)

// Disks of guests beside those of the lab: one that is based on another, and one that both hosts
// see.
const (
	basePath = "/var/lib/libvirt/images/base.qcow2"
	topPath  = "/var/lib/libvirt/images/top.qcow2"
)

func qcow2(target, path string) string {
	return fmt.Sprintf("<disk type='file'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='%s' bus='virtio'/></disk>", path, target)
}

// makeChain makes vdb: content that is partly in the base, which both hosts have, and partly not.
func makeChain(m *guestMove) {
	for _, h := range m.Hosts() {
		m.do(h, "qemu-img", "create", "-q", "-f", "qcow2", basePath, "8M")
		m.do(h, "qemu-io", "-c", "write -q -P 0x5a 1M 3M", basePath)
	}
	emptyTop(m, m.A)
	m.do(m.A, "qemu-io", "-c", "write -q -P 0xc3 2M 4M", topPath)
}

// emptyTop makes the upper file anew, with nothing in it but its base.
func emptyTop(m *guestMove, h *lab.Host) {
	os.Remove(h.Path(topPath))
	m.do(h, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", basePath, topPath)
}

// content is the digest of an image's content, whatever its format.
func (m *guestMove) content(h *lab.Host, path string) string {
	m.t.Helper()
	raw := filepath.Join(m.dir, "content")
	defer os.Remove(raw)
	m.do(h, "qemu-img", "convert", "-U", "-O", "raw", path, raw)
	return digest(m, raw)
}

func digest(m *guestMove, path string) string {
	m.t.Helper()
	content, err := os.ReadFile(path)
	m.check(err)
	return fmt.Sprintf("%d bytes %x", len(content), sha256.Sum256(content))
}

func chainAndShared(m *guestMove) {
	makeChain(m)
	m.had["vdb"] = m.content(m.A, topPath)
	// QEMU's user may not look into the test's own folder.
	shared, err := os.MkdirTemp("", "sluice-shared-")
	m.check(err)
	m.t.Cleanup(func() { os.RemoveAll(shared) })
	m.check(os.Chmod(shared, 0o755))
	image := filepath.Join(shared, "shared.raw")
	m.check(os.WriteFile(image, make([]byte, 1<<20), 0o666))
	m.spec.Devices = qcow2("vdb", topPath) +
		fmt.Sprintf("<disk type='file'><driver name='qemu' type='raw' cache='none'/><source file='%s'/><target dev='vdc' bus='virtio'/><shareable/></disk>", image)
}

func emptyChain(m *guestMove, to *lab.Host) {
	m.check(m.g.CreateDisks(to))
	emptyTop(m, to)
}

func sameChain(m *guestMove, h *lab.Host) {
	m.check(m.CompareDisks(m.ctx, m.g))
	m.same("vdb", m.content(h, topPath))
}

func onlyQcow2(m *guestMove) {
	makeChain(m)
	m.had["vda"] = m.content(m.A, topPath)
	m.spec.Devices = qcow2("vda", topPath)
}

// checkpoint is the name of one, and of the bitmap that QEMU keeps for it.
const checkpoint = "c1"

// sameBitmap checks that the destination has the disk with the checkpoint's bitmap, which is what
// incremental backups need; libvirt leaves it to the client to define the checkpoint anew.
func sameBitmap(m *guestMove, h *lab.Host) {
	m.same("vda", m.content(h, topPath))
	says(m.t, "QEMU on "+h.Name, m.virsh(h, "qemu-monitor-command", m.g.UUID, `{"execute":"query-named-block-nodes"}`), `"name":"`+checkpoint+`"`)
}

func resize(m *guestMove) { m.virsh(m.A, "blockresize", m.g.UUID, "vda", "12M") }

func keepNVRAM(m *guestMove) { m.had["NVRAM"] = digest(m, m.A.Path(m.g.NVRAMPath())) }

// spoilNVRAM replaces what the destination has from an earlier stay of the guest.
func spoilNVRAM(m *guestMove, to *lab.Host) {
	path := to.Path(m.g.NVRAMPath())
	st, err := os.Stat(path)
	if os.IsNotExist(err) {
		return
	}
	m.check(err)
	other := make([]byte, st.Size())
	rand.Read(other)
	m.check(os.WriteFile(path, other, 0))
}

func sameNVRAM(m *guestMove, h *lab.Host) { m.same("NVRAM", digest(m, h.Path(m.g.NVRAMPath()))) }

// tpmState is where swtpm keeps what outlasts a guest's end, keys among it.
func (m *guestMove) tpmState(h *lab.Host) string {
	return h.Path("/var/lib/libvirt/swtpm/" + m.g.UUID + "/tpm2/tpm2-00.permall")
}

func keepTPM(m *guestMove) { m.had["vTPM"] = digest(m, m.tpmState(m.A)) }

func sameTPM(m *guestMove, h *lab.Host) { m.same("vTPM", digest(m, m.tpmState(h))) }
