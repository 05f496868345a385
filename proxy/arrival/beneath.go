package arrival

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// longestChain is how many images may be beneath a disk that is made.
const longestChain = 32

// checkBeneath makes sure of what a peer says of the image beneath a disk that is to be made. By its
// word alone an image is only read as raw, where all of it is content. What it calls qcow2 may be a
// raw image to which a guest has written a header, which would have QEMU read any file of this host's
// as the one beneath. So the header must lead to nothing but images, where accept has them lie, and
// name their formats; and no guest here may be able to write another one meanwhile.
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
		beneath, next, err := a.headOf(ctx, file)
		if err != nil || beneath == "" {
			return err
		}
		if !path.IsAbs(beneath) {
			if strings.Contains(beneath, ":") {
				return fmt.Errorf("%s is based on what is no file, %.120q", file, beneath)
			}
			beneath = path.Join(path.Dir(file), beneath)
		}
		if err := accept(beneath); err != nil {
			return fmt.Errorf("%s is based on an image that may not be read: %w", file, err)
		}
		file, format = beneath, next
	}
	return fmt.Errorf("there are more than %d images beneath it", longestChain)
}

// headOf is what the header of a qcow2 image leads to, as virt.ReadQcow2 has it.
func (a *Arrivals) headOf(ctx context.Context, file string) (beneath, format string, err error) {
	f, err := a.Libvirt.OpenImageFolder(ctx, path.Dir(file))
	if err != nil {
		return "", "", a.folderCause("opening the folder "+path.Dir(file), err)
	}
	defer f.Close(context.WithoutCancel(ctx))
	has, head, err := f.Head(ctx, path.Base(file), virt.Qcow2Head)
	switch {
	case err != nil:
		return "", "", a.folderCause("reading the header of "+file, err)
	case !has:
		return "", "", fmt.Errorf("%s, which is to be beneath, is not on %s", file, a.Config.Name)
	}
	if beneath, format, err = virt.ReadQcow2(head); err != nil {
		err = fmt.Errorf("%s on %s is not used as qcow2: %w", file, a.Config.Name, err)
	}
	return beneath, format, err
}
