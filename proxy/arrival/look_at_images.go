package arrival

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// LookAtImages looks, for a guest that may come, what is in the files that its disks would have, by
// their paths: nil where there is none. create says that those that are missing would be made, with
// the sizes that wanted has. What can't be told of a file, or keeps it from being made, is in why.
// All paths lie where a guest's images may.
func (a *Arrivals) LookAtImages(ctx context.Context, wanted []virt.Image, create bool) (found map[string]*virt.Image, why map[string]error) {
	found, why = make(map[string]*virt.Image), make(map[string]error)
	for _, folder := range foldersOf(wanted) {
		a.lookIn(ctx, folder, wanted, create, found, why)
	}
	return found, why
}

// CheckMaking says why disks could not be made, those apart of which there is a file already.
func (a *Arrivals) CheckMaking(ctx context.Context, m *Making, there func(path string) bool) error {
	images, err := a.wanted(m)
	if err != nil || !slices.ContainsFunc(images, func(i virt.Image) bool { return i.Backing != "" && !there(i.Path) }) {
		return err
	}
	leave, err := a.useFolders(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, i := range images {
		if i.Backing == "" || there(i.Path) {
			continue
		}
		if err := a.checkBeneath(ctx, i.Backing, i.BackingFormat, m.Policy.CheckImage); err != nil {
			return fmt.Errorf("disk %s can't be made: %w", i.Path, err)
		}
	}
	return nil
}

func (a *Arrivals) lookIn(ctx context.Context, folder string, wanted []virt.Image, create bool, found map[string]*virt.Image, why map[string]error) {
	var here []virt.Image
	for _, i := range wanted {
		if path.Dir(i.Path) == folder {
			here = append(here, i)
		}
	}
	tell := func(err error) {
		for _, i := range here {
			if found[i.Path] == nil {
				why[i.Path] = err
			}
		}
	}
	if _, err := a.Observer.Resolve(folder); errors.Is(err, fs.ErrNotExist) {
		if create {
			tell(errors.New("the folder " + folder + " is missing, and sluice makes none"))
		}
		return
	}
	// For one folder at a time: a guest whose disks are to be made waits for no more than that.
	leave, err := a.useFolders(ctx)
	if err != nil {
		tell(err)
		return
	}
	defer leave()
	f, err := a.Libvirt.OpenImageFolder(ctx, folder)
	if err != nil {
		tell(a.folderCause("opening the folder "+folder, err))
		return
	}
	defer f.Close(context.WithoutCancel(ctx))
	var need uint64
	for _, i := range here {
		is, err := f.Look(ctx, path.Base(i.Path))
		switch {
		case err != nil:
			why[i.Path] = a.folderCause("looking for "+i.Path, err)
		case is != nil:
			found[i.Path] = is
		default:
			need += i.Size
		}
	}
	if !create {
		return
	}
	if err := a.hasRoom(ctx, f, folder, need); err != nil {
		tell(err)
	}
}
