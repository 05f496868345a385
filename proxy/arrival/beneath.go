package arrival

import (
	"context"
	"fmt"
	"path"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// longestChain is how many images may be beneath a disk that is made.
const longestChain = 32

// checkBeneath makes sure of what a peer says of the image beneath a disk that is to be made. By its
// word alone an image is only read as raw, where all of it is content. What it calls qcow2 may be a
// raw image to which a guest has written a header, which would have QEMU read any file of this host's
// as the one beneath, or as the one with its data. So the header must lead to nothing but images,
// where accept has them lie, and name their formats; and no guest here may be able to write another
// one meanwhile.
func (a *Arrivals) checkBeneath(ctx context.Context, file, format string, accept func(string) error) error {
	for range longestChain {
		switch format {
		case "raw":
			return nil
		case "":
			return fmt.Errorf("the format of %s is not named, and QEMU would guess it by a header that a guest may have written: `qemu-img rebase -u -F FORMAT` names it", file)
		case "qcow2":
		default:
			return fmt.Errorf("%s is of format %.20q, where raw and qcow2 may be beneath disks that are made: make the disk yourself (qemu-img create)", file, format)
		}
		guest, err := a.Libvirt.WrittenBy(ctx, file)
		if err != nil {
			return a.folderCause("looking for guests that write to "+file, err)
		}
		if guest != "" {
			return fmt.Errorf("%s is no qcow2 image to guest %s on %s, which may have written its header", file, guest, a.Config.Name)
		}
		found, err := a.imageAt(ctx, file)
		switch {
		case err != nil:
			return err
		case found.Format != format:
			return fmt.Errorf("%s on %s is of format %.20q, and not %s", file, a.Config.Name, found.Format, format)
		}
		switch has, err := a.Observer.HasDataFile(file); {
		case err != nil:
			return fmt.Errorf("look at the header of %s: %w", file, err)
		case has:
			return fmt.Errorf("%s has its data in another file by its header, and no rule says which may be read: make the disk yourself (qemu-img create)", file)
		case found.Backing == "":
			return nil
		case !path.IsAbs(found.Backing): // libvirt says where a file is
			return fmt.Errorf("%s is based on what is no file, %.120q", file, found.Backing)
		}
		if err := accept(found.Backing); err != nil {
			return fmt.Errorf("%s is based on an image that may not be read: %w", file, err)
		}
		file, format = found.Backing, found.BackingFormat
	}
	return fmt.Errorf("there are more than %d images beneath it", longestChain)
}

// imageAt is what libvirt finds in an image, which it reads without QEMU.
func (a *Arrivals) imageAt(ctx context.Context, file string) (*virt.Image, error) {
	f, err := a.Libvirt.OpenImageFolder(ctx, path.Dir(file))
	if err != nil {
		return nil, a.folderCause("opening the folder "+path.Dir(file), err)
	}
	defer f.Close(context.WithoutCancel(ctx))
	found, err := f.Look(ctx, path.Base(file))
	switch {
	case err != nil:
		return nil, a.folderCause("looking at "+file, err)
	case found == nil:
		return nil, fmt.Errorf("%s, which is to be beneath, is not on %s", file, a.Config.Name)
	}
	return found, nil
}
