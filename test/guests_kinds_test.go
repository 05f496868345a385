package test

import (
	"context"
	"fmt"
	"os"

	"github.com/virt-sluice/sluice/internal/lab"
)

// guestKinds are the guests that TestGuests moves. Those that are always tried have together most of
// what the others have one by one.
var guestKinds = []*guestKind{
	{name: "devices", often: true, spec: lab.GuestSpec{Devices: channel + rng + balloon + vnc + network}, prepare: bridges},
	{name: "channel", spec: lab.GuestSpec{Devices: channel}},
	{name: "RNG", spec: lab.GuestSpec{Devices: rng}},
	{name: "balloon", spec: lab.GuestSpec{Devices: balloon}},
	{name: "VNC", spec: lab.GuestSpec{Devices: vnc}},
	{name: "virtio-net", spec: lab.GuestSpec{Devices: network}, prepare: bridges},

	{name: "NVRAM and vTPM", often: true, spec: lab.GuestSpec{NVRAM: true, Devices: tpm, Persistent: true},
		started: func(m *guestMove) { keepNVRAM(m); keepTPM(m) },
		leaves:  spoilNVRAM,
		arrives: func(m *guestMove, h *lab.Host) { sameNVRAM(m, h); sameTPM(m, h) },
		args:    []string{"--persistent"}},
	{name: "UEFI", spec: lab.GuestSpec{UEFI: true, MemoryMiB: 128, Devices: tpm}, leaves: spoilNVRAM,
		arrives: func(m *guestMove, h *lab.Host) { m.check(m.g.GoOn(m.ctx, h)) }},
	{name: "NVRAM", spec: lab.GuestSpec{NVRAM: true}, started: keepNVRAM, leaves: spoilNVRAM, arrives: sameNVRAM},
	{name: "vTPM", spec: lab.GuestSpec{Devices: tpm}, started: keepTPM, arrives: sameTPM},

	{name: "disks", often: true, spec: lab.GuestSpec{DisksMiB: []int{8}}, args: []string{"--copy-storage-all", "--migrate-disks", "vda,vdb", "--unsafe"},
		accept:  fmt.Sprintf("accept.folders = [\"@pools\", \"/var/lib/libvirt/images\", %q]\n", os.TempDir()),
		prepare: chainAndShared, leaves: emptyChain, arrives: sameChain},
	{name: "resized disk", spec: lab.GuestSpec{DisksMiB: []int{8}}, args: []string{"--copy-storage-all"}, started: resize,
		leaves:  func(m *guestMove, to *lab.Host) { m.check(to.CreateDisk(m.g.DiskPath(0), 12)) },
		arrives: func(m *guestMove, _ *lab.Host) { m.check(m.CompareDisks(m.ctx, m.g)) }},
	{name: "resized disk, not there", spec: lab.GuestSpec{DisksMiB: []int{8}}, args: []string{"--copy-storage-all"}, started: resize,
		leaves:  func(m *guestMove, to *lab.Host) { m.check(m.g.CreateDisks(to)) },
		refused: []string{"size"}},
	{name: "snapshot", prepare: onlyQcow2, args: []string{"--unsafe"}, refused: []string{"snapshot"},
		started: func(m *guestMove) { m.virsh(m.A, "snapshot-create-as", m.g.UUID, "s1") }},
	{name: "checkpoint", prepare: onlyQcow2, args: []string{"--copy-storage-all"}, leaves: emptyTop, arrives: sameBitmap,
		started: func(m *guestMove) { m.virsh(m.A, "checkpoint-create-as", m.g.UUID, checkpoint) }},
	{name: "virtiofs", spec: lab.GuestSpec{Elements: sharedMemory, Devices: virtiofs}, refused: []string{"non-migratable device", "vhost-user-fs"}},

	{name: "topology", often: true, spec: lab.GuestSpec{Elements: topology, Name: "Gäste zwölf & 'mehr'"}},
	{name: "host-model", spec: lab.GuestSpec{Elements: "<cpu mode='host-model'/>"}},
	{name: "huge pages", spec: lab.GuestSpec{HugePages: true}, prepare: hugePages},
	{name: "paused", spec: lab.GuestSpec{Paused: true, Devices: channel}},
	{name: "named as another's id", prepare: namedAsID},
	{name: "long name", spec: lab.GuestSpec{Name: "a-name-of-many-letters-such-as-generators-make-0123456789-0123456789-0123456789-0123456789", Devices: channel}},
}

const (
	channel = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
	rng     = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
	balloon = "<memballoon model='virtio'/>"
	vnc     = "<graphics type='vnc' port='-1' autoport='yes'/><video><model type='vga'/></video>"
	tpm     = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
	network = "<interface type='bridge'><source bridge='guests'/><model type='virtio'/></interface>"

	virtiofs     = "<filesystem type='mount'><driver type='virtiofs'/><source dir='/var/lib/libvirt/images'/><target dir='shared'/></filesystem>"
	sharedMemory = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"

	// topology is the host's processor, and two nodes of memory.
	topology = `<numatune><memory mode='preferred' nodeset='0'/></numatune>
<cpu mode='host-model'><numa>
  <cell id='0' cpus='0' memory='32' unit='MiB'/>
  <cell id='1' memory='32' unit='MiB'/>
</numa></cpu>`
)

// bridges makes the bridge that guests are connected to.
func bridges(m *guestMove) {
	for _, h := range m.Hosts() {
		m.do(h, "ip", "link", "add", "guests", "type", "bridge")
		m.t.Cleanup(func() {
			if out, err := h.Command(context.Background(), "ip", "link", "del", "guests").CombinedOutput(); err != nil {
				m.t.Errorf("remove the bridge of %s: %v: %s", h.Name, err, out)
			}
		})
	}
}

func hugePages(m *guestMove) {
	restore, err := lab.ReserveHugePages(64)
	m.check(err)
	m.t.Cleanup(func() {
		if err := restore(); err != nil {
			m.t.Error(err)
		}
	})
}

// namedAsID gives the guest the id of another one as its name.
func namedAsID(m *guestMove) {
	other := m.guest(lab.GuestSpec{Name: "other"})
	m.spec.Name = m.virsh(m.A, "domid", other.Name)
}
