package virt

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/domainxml"
)

func TestMakeDisk(t *testing.T) {
	for _, c := range []struct {
		disk        domainxml.Disk
		incremental bool
		want        string
	}{
		{domainxml.Disk{Path: "/a/b.img", Format: "raw"}, false, "`qemu-img create -f raw /a/b.img 4096`"},
		{domainxml.Disk{Path: "/a/it's mine", Format: "qcow2", Backing: "/base", BackingFormat: "raw"}, true, "`qemu-img create -f qcow2 -b /base -F raw '/a/it'\\''s mine' 4096`"},
		{domainxml.Disk{Path: "/a/b", Format: "qcow2", Backing: "/base", BackingFormat: "raw"}, false, "`qemu-img create -f qcow2 /a/b 4096`"},
	} {
		if got := MakeDisk(c.disk, 4096, c.incremental); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
