package virt

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/xml"
	"path"
	"strings"

	"github.com/digitalocean/go-libvirt"
)

// Image is a disk's file, as libvirt is to make it.
type Image struct {
	Path          string `json:"path"`
	Format        string `json:"format"`            // raw or qcow2
	Size          uint64 `json:"size"`              // bytes that the guest sees
	Backing       string `json:"backing,omitempty"` // path of the image beneath; empty: none
	BackingFormat string `json:"backing_format,omitempty"`
}

// ImageFolder is a folder of this host as libvirt's storage driver has it: as a storage pool. There
// are no two pools of one folder, so one that is there is used, and else one is made that lasts until
// Close. So callers use a folder one at a time.
type ImageFolder struct {
	v    *Conn
	pool libvirt.StoragePool
}

// ownPool begins the names of pools that OpenImageFolder has made.
const ownPool = "sluice-makes-disks-"

// OpenImageFolder opens the folder of that path, which has to be there.
func (l Libvirt) OpenImageFolder(ctx context.Context, folder string) (*ImageFolder, error) {
	v, err := l.connectStorage(ctx)
	if err != nil {
		return nil, err
	}
	f := &ImageFolder{v: v}
	err = v.Bound(ctx, func() (err error) {
		if f.pool, err = v.StoragePoolLookupByTargetPath(folder); err == nil {
			// What was put there past libvirt is not known to it before. One that can't be looked at
			// again now, as a volume is being made in it, still overwrites nothing.
			v.StoragePoolRefresh(f.pool, 0)
			return nil
		}
		f.pool, err = v.StoragePoolCreateXML(inXML(&poolXML{Type: "dir", Name: ownPool + rand.Text(), Target: targetXML{Path: folder}}), 0)
		return err
	})
	if err != nil {
		v.Close()
		return nil, err
	}
	return f, nil
}

// Close ends the pool if it was made for this, by whichever process.
func (f *ImageFolder) Close(ctx context.Context) {
	if strings.HasPrefix(f.pool.Name, ownPool) {
		f.v.Bound(ctx, func() error { return f.v.StoragePoolDestroy(f.pool) }) // or else the next one's
	}
	f.v.Close()
}

// Free is how many bytes are free in the folder's file system.
func (f *ImageFolder) Free(ctx context.Context) (free uint64, err error) {
	err = f.v.Bound(ctx, func() (err error) {
		_, _, _, free, err = f.v.StoragePoolGetInfo(f.pool)
		return err
	})
	return free, err
}

// Has says whether there is such a file, and how many bytes it takes.
func (f *ImageFolder) Has(ctx context.Context, name string) (has bool, taken uint64, err error) {
	err = f.v.Bound(ctx, func() error {
		vol, err := f.v.StorageVolLookupByName(f.pool, name)
		if err == nil {
			_, _, taken, err = f.v.StorageVolGetInfo(vol)
		}
		return err
	})
	if isNoVolume(err) {
		return false, 0, nil
	}
	return err == nil, taken, err
}

// Look is what libvirt finds in a file: its format, how many bytes a guest would see, and what is
// beneath by its header; nil where there is none.
func (f *ImageFolder) Look(ctx context.Context, name string) (found *Image, err error) {
	err = f.v.Bound(ctx, func() error {
		vol, err := f.v.StorageVolLookupByName(f.pool, name)
		if err != nil {
			return err
		}
		found, err = f.v.image(vol)
		return err
	})
	if isNoVolume(err) {
		return nil, nil
	}
	return found, err
}

// image reads a volume's description.
func (v *Conn) image(vol libvirt.StorageVol) (*Image, error) {
	text, err := v.StorageVolGetXMLDesc(vol, 0)
	if err != nil {
		return nil, err
	}
	var d struct {
		Capacity uint64      `xml:"capacity"` // libvirt writes bytes
		Format   formatXML   `xml:"target>format"`
		Backing  *backingXML `xml:"backingStore"`
	}
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		return nil, err
	}
	found := &Image{Path: vol.Key, Format: d.Format.Type, Size: d.Capacity}
	if d.Backing != nil {
		// What is no file may have no path.
		found.Backing, found.BackingFormat = cmp.Or(d.Backing.Path, "another host's"), d.Backing.Format.Type
	}
	return found, nil
}

// Volume is what a storage pool of that name has as a volume; nil where it has none.
func (l Libvirt) Volume(ctx context.Context, pool, name string) (found *Image, err error) {
	v, err := l.connectStorage(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		p, err := v.StoragePoolLookupByName(pool)
		if err != nil {
			return err
		}
		vol, err := v.StorageVolLookupByName(p, name)
		if err != nil {
			return err
		}
		found, err = v.image(vol)
		return err
	})
	if isNoVolume(err) {
		return nil, nil
	}
	return found, err
}

// VolumeAt is what a storage pool has as a volume at a path; nil where none has one there.
func (l Libvirt) VolumeAt(ctx context.Context, path string) (found *Image, err error) {
	v, err := l.connectStorage(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	err = v.Bound(ctx, func() error {
		vol, err := v.StorageVolLookupByPath(path)
		if err == nil {
			found, err = v.image(vol)
		}
		return err
	})
	if isNoVolume(err) {
		return nil, nil
	}
	return found, err
}

func isNoVolume(err error) bool { return hasCode(err, libvirt.ErrNoStorageVol) }

// Make makes an image without content, which takes next to no space. libvirt refuses to make one
// where there is a file. A raw one comes into being by O_EXCL; for others libvirt looks, and then
// qemu-img makes it.
func (f *ImageFolder) Make(ctx context.Context, i Image) error {
	vol := &volumeXML{Name: path.Base(i.Path), Capacity: i.Size, Format: formatXML{Type: i.Format}}
	if i.Format == "qcow2" {
		vol.Compat = "1.1" // libvirt's own default has no bitmaps
	}
	if i.Backing != "" {
		vol.Backing = &backingXML{Path: i.Backing, Format: formatXML{Type: i.BackingFormat}}
	}
	return f.v.Bound(ctx, func() error {
		_, err := f.v.StorageVolCreateXML(f.pool, inXML(vol), 0)
		return err
	})
}

// Remove removes a file. One that is not there is no error.
func (f *ImageFolder) Remove(ctx context.Context, name string) error {
	err := f.v.Bound(ctx, func() error {
		vol, err := f.v.StorageVolLookupByName(f.pool, name)
		if err == nil {
			err = f.v.StorageVolDelete(vol, 0)
		}
		return err
	})
	if isNoVolume(err) {
		return nil
	}
	return err
}

type (
	poolXML struct {
		XMLName xml.Name  `xml:"pool"`
		Type    string    `xml:"type,attr"`
		Name    string    `xml:"name"`
		Target  targetXML `xml:"target"`
	}
	targetXML struct {
		Path string `xml:"path"`
	}
	volumeXML struct {
		XMLName    xml.Name    `xml:"volume"`
		Name       string      `xml:"name"`
		Capacity   uint64      `xml:"capacity"`
		Allocation uint64      `xml:"allocation"` // libvirt's default is all of it
		Format     formatXML   `xml:"target>format"`
		Compat     string      `xml:"target>compat,omitempty"`
		Backing    *backingXML `xml:"backingStore"`
	}
	formatXML struct {
		Type string `xml:"type,attr"`
	}
	backingXML struct {
		Path   string    `xml:"path"`
		Format formatXML `xml:"format"`
	}
)

// inXML is a description as libvirt reads it.
func inXML(v any) string {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(err) // a type of this file's
	}
	return string(text)
}
