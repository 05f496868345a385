package domainxml

import (
	"encoding/xml"
	"slices"
)

// Disk is a guest's disk with an image of its own.
type Disk struct {
	Target    string // in the guest, such as vda
	Path      string // of the image; empty where it is no file
	Format    string // such as qcow2
	Encrypted bool
	DataFile  bool // the guest's data lies in another file, and the image is only its map

	Backing       string // path of the image beneath; empty for none
	BackingFormat string
	BackingOther  bool // what is beneath is no file
}

// Disks are those that a migration copies (qemuMigrationAnyCopyDisk in libvirt's
// src/qemu/qemu_migration.c): the chosen ones by their targets, or where none are chosen those that
// are neither read-only nor shared. Empty drives are not among them.
func Disks(description string, chosen []string) ([]Disk, error) {
	if err := Bounded(description); err != nil {
		return nil, err
	}
	type source struct {
		File       string    `xml:"file,attr"`
		Dev        string    `xml:"dev,attr"`
		Protocol   string    `xml:"protocol,attr"`
		Pool       string    `xml:"pool,attr"`
		Type       string    `xml:"type,attr"` // of NVMe and vhost-user
		Encryption *struct{} `xml:"encryption"`
		DataStore  *struct{} `xml:"dataStore"` // libvirt 10.10 and later
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
			ReadOnly   *struct{} `xml:"readonly"`
			Shareable  *struct{} `xml:"shareable"`
			Encryption *struct{} `xml:"encryption"`
			Backing    struct {
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
		copied := one.ReadOnly == nil && one.Shareable == nil
		if len(chosen) > 0 {
			copied = slices.Contains(chosen, one.Target.Dev)
		}
		if one.Source == (source{}) || !copied {
			continue
		}
		beneath := one.Backing.Source
		disks = append(disks, Disk{
			Target: one.Target.Dev, Path: one.Source.File, Format: one.Driver.Type,
			Encrypted: one.Encryption != nil || one.Source.Encryption != nil,
			DataFile:  one.Source.DataStore != nil,
			Backing:   beneath.File, BackingFormat: one.Backing.Format.Type,
			BackingOther: beneath != (source{}) && beneath.File == "",
		})
	}
	return disks, nil
}

// Names says whether a description names a path, in whatever role.
func Names(description, path string) (bool, error) {
	named := false
	err := Walk(description, func(token xml.Token) error {
		switch t := token.(type) {
		case xml.StartElement:
			named = named || slices.ContainsFunc(t.Attr, func(a xml.Attr) bool { return a.Value == path })
		case xml.CharData:
			named = named || string(t) == path
		}
		return nil
	})
	return named, err
}

// WritesRaw says whether the guest may write to the image of that path otherwise than as qcow2.
func WritesRaw(description, path string) (bool, error) {
	if err := Bounded(description); err != nil {
		return false, err
	}
	var d struct {
		Disks []struct {
			Source struct {
				File string `xml:"file,attr"`
			} `xml:"source"`
			Driver struct {
				Type string `xml:"type,attr"`
			} `xml:"driver"`
			ReadOnly *struct{} `xml:"readonly"`
		} `xml:"devices>disk"`
	}
	if err := xml.Unmarshal([]byte(description), &d); err != nil {
		return false, err
	}
	for _, one := range d.Disks {
		if one.Source.File == path && one.ReadOnly == nil && one.Driver.Type != "qcow2" {
			return true, nil
		}
	}
	return false, nil
}
