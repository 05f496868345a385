package arrival

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// A peer has no file made but for a disk of the guest's that is copied, in a folder for images, even
// where a whole element is accepted.
func TestWantedDisks(t *testing.T) {
	const images = "/var/lib/libvirt/images/"
	disk := func(target, path, more string) string {
		return fmt.Sprintf("<disk type='file'><driver type='qcow2'/><source file='%s'/>%s<target dev='%s'/></disk>", path, more, target)
	}
	a := newArrivals(t, t.TempDir())
	a.Config = &config.Config{Name: "host-b", Accept: config.Accept{Folders: []string{"/var/lib/libvirt/images", "/dev/vg"}, Elements: []string{"devices/disk"}}}
	const inc, all = libvirt.MigrateNonSharedInc, libvirt.MigrateNonSharedDisk
	for name, c := range map[string]struct {
		flags   libvirt.DomainMigrateFlags
		disks   string
		sizes   map[string]uint64
		chosen  []string
		refused string
		beneath string
	}{
		"none":              {0, disk("vda", images+"a", ""), nil, nil, "", ""},
		"one":               {all, disk("vda", images+"a", ""), map[string]uint64{"vda": 1 << 20}, nil, "", ""},
		"one on another":    {inc, disk("vda", images+"a", ""), map[string]uint64{"vda": 1 << 20}, nil, "", ""},
		"none copied":       {0, disk("vda", images+"a", ""), map[string]uint64{"vda": 1 << 20}, nil, "none to be copied", ""},
		"not the guest's":   {all, disk("vda", images+"a", ""), map[string]uint64{"vdb": 1 << 20}, nil, `disk "vdb" is not one of those that are copied`, ""},
		"read-only":         {all, disk("vda", images+"a", "<readonly/>"), map[string]uint64{"vda": 1 << 20}, nil, "is not one of those", ""},
		"not chosen":        {all, disk("vda", images+"a", ""), map[string]uint64{"vda": 1 << 20}, []string{"vdb"}, "is not one of those", ""},
		"elsewhere":         {all, disk("vda", "/etc/cron.d/a", ""), map[string]uint64{"vda": 1 << 20}, nil, "it lies in no folder for guests' images", ""},
		"by dots":           {all, disk("vda", images+"../a", ""), map[string]uint64{"vda": 1 << 20}, nil, "it lies in no folder for guests' images", ""},
		"a device":          {all, disk("vda", "/dev/vg/a", ""), map[string]uint64{"vda": 1 << 20}, nil, "no place for a file", ""},
		"empty":             {all, disk("vda", images+"a", ""), map[string]uint64{"vda": 0}, nil, "can't be made with 0 bytes", ""},
		"endless":           {all, disk("vda", images+"a", ""), map[string]uint64{"vda": 1 << 63}, nil, "can't be made", ""},
		"twice":             {all, disk("vda", images+"a", "") + disk("vdb", images+"a", ""), map[string]uint64{"vda": 1, "vdb": 1}, nil, "has the file of another one", ""},
		"of another format": {all, strings.ReplaceAll(disk("vda", images+"a", ""), "qcow2", "vmdk"), map[string]uint64{"vda": 1}, nil, `format "vmdk"`, ""},
		"beneath":           {inc, disk("vda", images+"a", ""), map[string]uint64{"vda": 1}, nil, "it lies in no folder for guests' images", "/etc/shadow"},
		"encrypted":         {all, disk("vda", images+"a", "<encryption format='luks'/>"), map[string]uint64{"vda": 1}, nil, "is encrypted", ""},
	} {
		m := &Making{c.flags, "<domain><devices>" + c.disks + "</devices></domain>", c.chosen, make(map[string]CreateDisk), a.Policy(t.Context(), "host-a")}
		for target, size := range c.sizes {
			m.Disks[target] = CreateDisk{size, cmp.Or(c.beneath, images+"base"), "raw"}
		}
		got, err := a.wanted(m)
		if c.refused != "" {
			if err == nil {
				t.Errorf("%s: %+v", name, got)
			} else {
				hosttest.Says(t, err, c.refused)
			}
			continue
		}
		want := virt.Image{Path: images + "a", Format: "qcow2", Size: 1 << 20}
		if c.flags == inc {
			want.Backing, want.BackingFormat = images+"base", "raw"
		}
		if err != nil || len(got) != len(c.sizes) || len(got) == 1 && got[0] != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// What was noted outlives the process, and of a file that is no note nothing is removed.
func TestNotedDisks(t *testing.T) {
	folder := t.TempDir()
	a := newArrivals(t, folder)
	m := &madeDisks{Peer: "host-a", Session: "s", UUID: "u", Guest: "g", Disks: []*madeDisk{{Image: virt.Image{Path: "/a"}, Made: true}}}
	if err := a.disks.note(m); err != nil {
		t.Fatal(err)
	}
	other := *m
	other.Session = "other"
	if err := writeWhole(a.disks.folder+"/host-c s", &other); err != nil { // not by its name
		t.Fatal(err)
	}
	all, err := a.disks.noted()
	if err != nil || len(all) != 1 || all[0].Disks[0].Path != "/a" || !all[0].Disks[0].Made {
		t.Errorf("%+v, %v", all, err)
	}
	if err := errors.Join(a.disks.forget(m), a.disks.forget(m)); err != nil {
		t.Error(err)
	}
	if all, err := a.disks.noted(); len(all) != 0 || err != nil {
		t.Errorf("%+v, %v", all, err)
	}
}
