package domainxml

import (
	"reflect"
	"strings"
	"testing"
)

const needy = `<domain type='kvm'><name>g</name><uuid>6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb</uuid>
<memory unit='KiB'>2097152</memory><vcpu placement='static'>4</vcpu>
<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
<nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/g.fd</nvram></os>
<cpu mode='custom' match='exact'><model fallback='forbid'>Haswell &amp; more</model><feature policy='require' name='vme'/></cpu>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver type='qcow2'/><source file='/images/a'><encryption format='luks'><secret type='passphrase' uuid='u1'/></encryption><dataStore type='file'><format type='raw'/><source file='/images/data'/></dataStore></source><target dev='vda' bus='virtio'/></disk>
<disk type='network' device='disk'><source protocol='rbd' name='p/i'><auth username='x'><secret type='ceph' usage='c'/></auth></source><target dev='vdb' bus='virtio'/></disk>
<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdc' bus='virtio'/></disk>
<disk type='block' device='disk'><source dev='/dev/vg/d'/><target dev='vdd' bus='virtio'/></disk>
<disk type='file' device='cdrom'><source file='/images/cd.iso' startupPolicy='optional'/><target dev='sda' bus='sata'/><readonly/></disk>
<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>
<interface type='network'><source network='blue'/></interface><interface type='bridge'><source bridge='br0'/></interface>
<interface type='direct'><source dev='eth0' mode='bridge'/></interface><interface type='hostdev'/><interface type='vhostuser'/>
<graphics type='vnc'/><video><model type='qxl'/></video><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'><encryption secret='u2'/></backend></tpm>
<filesystem type='mount'><driver type='virtiofs'/><source dir='/srv'/><target dir='share'/></filesystem>
<hostdev mode='subsystem' type='pci'/><shmem name='s' role='peer'/><shmem name='t' role='master'/>
</devices></domain>`

func TestReadNeeds(t *testing.T) {
	got, err := ReadNeeds(needy)
	if err != nil {
		t.Fatal(err)
	}
	stuck := got.Stuck
	got.Stuck = nil
	want := &Needs{
		Guest: Guest{"g", "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb"}, Virt: "kvm", Emulator: "/usr/bin/qemu-system-x86_64", Arch: "x86_64", Machine: "pc-q35-7.2", VCPUs: 4,
		Memory: 2 << 30, Huge: true, HugePages: []uint64{2 << 20},
		Disks: []NeededDisk{
			{Target: "vda", Device: "disk", Kind: "file", Path: "/images/a", Format: "qcow2", DataFile: "/images/data"},
			{Target: "vdb", Device: "disk", Kind: "network"},
			{Target: "vdc", Device: "disk", Kind: "volume", Pool: "p", Volume: "v"},
			{Target: "vdd", Device: "disk", Kind: "block", Path: "/dev/vg/d"},
			{Target: "sda", Device: "cdrom", Kind: "file", Path: "/images/cd.iso", Optional: true},
		},
		Networks: []string{"blue"}, Links: []string{"br0", "eth0"}, Others: []string{"vhostuser"},
		Secrets: []Secret{{UUID: "u1", Type: "passphrase"}, {Usage: "c", Type: "ceph"}, {UUID: "u2"}},
		Loader:  "/usr/share/OVMF/OVMF_CODE.fd", Template: "/usr/share/OVMF/OVMF_VARS.fd", NVRAM: "/var/lib/libvirt/qemu/nvram/g.fd",
		Devices: []Wanted{{"disk", "bus", "virtio"}, {"disk", "bus", "virtio"}, {"disk", "bus", "virtio"}, {"disk", "bus", "virtio"}, {"disk", "bus", "sata"}, {"disk", "bus", "fdc"},
			{"graphics", "type", "vnc"}, {"video", "modelType", "qxl"}, {"rng", "backendModel", "random"}, {"filesystem", "driverType", "virtiofs"}, {"tpm", "model", "tpm-crb"}, {"tpm", "backendModel", "emulator"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var words []string
	for _, s := range stuck {
		words = append(words, s.What)
	}
	if text := strings.Join(words, "; "); len(stuck) != 4 || !strings.Contains(text, "(pci)") || !strings.Contains(text, "hostdev") || !strings.Contains(text, "memory (s)") || !strings.Contains(text, "virtiofs (share)") {
		t.Errorf("stuck: %s", text)
	}
	text, mode, err := CPU(needy)
	if want := "<cpu mode='custom' match='exact'><model fallback='forbid'>Haswell &amp; more</model><feature policy='require' name='vme'/></cpu>"; text != want || mode != "custom" || err != nil {
		t.Errorf("%s, mode %q, %v", text, mode, err)
	}
	for old, new := range map[string]string{
		"unit='KiB'>2097152": "unit='EiB'>1",
		">2097152<":          ">99999999999999999<",
		"size='2048'":        "size='-1'",
		"<vcpu":              "<vcpu>x</vcpu><vcpu",
	} {
		if n, err := ReadNeeds(strings.Replace(needy, old, new, 1)); err == nil {
			t.Errorf("with %s: %+v", new, n)
		}
	}
}
