package domainxml

import (
	"reflect"
	"testing"
)

func TestDisks(t *testing.T) {
	got, err := Disks(`<domain type='kvm'><name>g</name><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/a.qcow2' index='1'/>
  <backingStore type='file' index='2'><format type='raw'/><source file='/var/lib/base.img'/><backingStore/></backingStore><target dev='vda' bus='virtio'/></disk>
<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/b'/><target dev='vdb'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='p/c'/><target dev='vdc'/></disk>
<disk type='file' device='disk'><source file='/shared'/><target dev='vdd'/><shareable/></disk>
<disk type='file' device='cdrom'><source file='/cd.iso'/><target dev='sda'/><readonly/></disk>
<disk type='file' device='cdrom'><target dev='sdb'/></disk>
</devices></domain>`)
	want := []Disk{
		{Target: "vda", Path: "/var/lib/a.qcow2", Format: "qcow2", Backing: "/var/lib/base.img", BackingFormat: "raw"},
		{Target: "vdb", Format: "raw"},
		{Target: "vdc", Format: "raw"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Disks(`<domain><devices><disk>`); err == nil {
		t.Error("a description without an end is taken")
	}
}
