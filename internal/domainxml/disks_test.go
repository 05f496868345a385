package domainxml

import (
	"reflect"
	"testing"
)

func TestDisks(t *testing.T) {
	const description = `<domain type='kvm'><name>g</name><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/a.qcow2' index='1'/>
  <backingStore type='file' index='2'><format type='raw'/><source file='/var/lib/base.img'/><backingStore/></backingStore><target dev='vda' bus='virtio'/></disk>
<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/b'/><target dev='vdb'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='p/c'/><target dev='vdc'/></disk>
<disk type='file' device='disk'><source file='/shared'/><target dev='vdd'/><shareable/></disk>
<disk type='file' device='cdrom'><source file='/cd.iso'/><target dev='sda'/><readonly/></disk>
<disk type='file' device='cdrom'><target dev='sdb'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/luks'><encryption format='luks'/></source>
  <backingStore type='block'><format type='raw'/><source dev='/dev/vg/base'/></backingStore><target dev='vde'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/map.qcow2'><dataStore type='file'><format type='raw'/><source file='/data.raw'/></dataStore></source><target dev='vdf'/></disk>
</devices></domain>`
	got, err := Disks(description, nil)
	want := []Disk{
		{Target: "vda", Path: "/var/lib/a.qcow2", Format: "qcow2", Backing: "/var/lib/base.img", BackingFormat: "raw"},
		{Target: "vdb", Format: "raw"},
		{Target: "vdc", Format: "raw"},
		{Target: "vde", Path: "/luks", Format: "qcow2", Encrypted: true, BackingFormat: "raw", BackingOther: true},
		{Target: "vdf", Path: "/map.qcow2", Format: "qcow2", DataFile: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	// libvirt copies those that are chosen whatever they are, but not an empty drive.
	got, err = Disks(description, []string{"vdd", "sdb"})
	if err != nil || !reflect.DeepEqual(got, []Disk{{Target: "vdd", Path: "/shared"}}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Disks(`<domain><devices><disk>`, nil); err == nil {
		t.Error("a description without an end is taken")
	}
}

func TestNames(t *testing.T) {
	const description = `<domain type='kvm'><name>g</name><os><nvram>/vars</nvram></os><devices><disk><source file='/it&apos;s &amp; mine'/></disk></devices></domain>`
	for path, want := range map[string]bool{"/vars": true, "/it's & mine": true, "/var": false, "/mine": false} {
		if got, err := Names(description, path); got != want || err != nil {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
}

func TestWritesRaw(t *testing.T) {
	for disks, want := range map[string]bool{
		"": false,
		"<disk><driver type='raw'/><source file='/a'/></disk>":                                                   true,
		"<disk><source file='/a'/></disk>":                                                                       true,
		"<disk><driver type='raw'/><source file='/a'/><shareable/></disk>":                                       true,
		"<disk><driver type='raw'/><source file='/a'/><readonly/></disk>":                                        false,
		"<disk><driver type='qcow2'/><source file='/a'/></disk>":                                                 false,
		"<disk><driver type='raw'/><source file='/b'/></disk>":                                                   false,
		"<disk><driver type='qcow2'/><source file='/b'/><backingStore><source file='/a'/></backingStore></disk>": false,
	} {
		if got, err := WritesRaw("<domain><devices>"+disks+"</devices></domain>", "/a"); got != want || err != nil {
			t.Errorf("%s: %t, %v", disks, got, err)
		}
	}
}
