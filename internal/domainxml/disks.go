package domainxml

import "encoding/xml"

// Disk is a guest's disk with an image of its own.
type Disk struct {
	Target string // in the guest, such as vda
	Path   string // of the image; empty where it is no file
	Format string // such as qcow2

	Backing       string // path of the image beneath; empty for none
	BackingFormat string
}

// Disks are those that a migration copies by default: neither empty, nor read-only, nor shared
// (qemuMigrationAnyCopyDisk in libvirt's src/qemu/qemu_migration.c).
func Disks(description string) ([]Disk, error) {
	if err := Bounded(description); err != nil {
		return nil, err
	}
	type source struct {
		File     string `xml:"file,attr"`
		Dev      string `xml:"dev,attr"`
		Protocol string `xml:"protocol,attr"`
		Pool     string `xml:"pool,attr"`
	}
	var d struct {
		Disks []struct {
			Source source `xml:"source"`
			Driver struct {
				Type string `xml:"type,attr"`
			} `xml:"driver"`
			Target struct {
				Dev string `xml:"dev,attr"`
			} `xml:"target"`
			ReadOnly  *struct{} `xml:"readonly"`
			Shareable *struct{} `xml:"shareable"`
			Backing   struct {
				Source source `xml:"source"`
				Format struct {
					Type string `xml:"type,attr"`
				} `xml:"format"`
			} `xml:"backingStore"`
		} `xml:"devices>disk"`
	}
	if err := xml.Unmarshal([]byte(description), &d); err != nil {
		return nil, err
	}
	var disks []Disk
	for _, one := range d.Disks {
		if one.Source == (source{}) || one.ReadOnly != nil || one.Shareable != nil {
			continue
		}
		disks = append(disks, Disk{
			Target: one.Target.Dev, Path: one.Source.File, Format: one.Driver.Type,
			Backing: one.Backing.Source.File, BackingFormat: one.Backing.Format.Type,
		})
	}
	return disks, nil
}
