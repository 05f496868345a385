package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// disks says what there is in place of each of the guest's disks. It looks at no path that is not
// for guests' images, whichever elements are accepted whole.
func (a *answering) disks(ctx context.Context) {
	var images []virt.Image
	targets := make(map[string][]string) // by their paths
	for i, d := range a.needs.Disks {
		switch {
		case i >= maxDisks:
			a.unknown("disks", "what %s has in place of the disks from the %dth on: no answer has so many", a.Config.Name, maxDisks+1)
			a.look(ctx, images, targets)
			return
		case d.Kind == "file" && d.Path != "":
			if err := a.policy.CheckImage(d.Path); err != nil {
				a.disk(d, Answered{Unknown: fmt.Sprintf("%s does not look there: %v", a.Config.Name, err)})
				continue
			}
			images = append(images, virt.Image{Path: d.Path, Size: a.ask.Sizes[d.Target]})
			targets[d.Path] = append(targets[d.Path], d.Target)
		case d.Kind == "block" && d.Path != "":
			a.disk(d, a.device(d.Path))
		case d.Kind == "volume" && d.Pool != "":
			a.disk(d, a.volume(ctx, d))
		default:
			a.disk(d, Answered{Unknown: fmt.Sprintf("it is no file of %s's: libvirt there finds out when the guest comes", a.Config.Name)})
		}
	}
	a.look(ctx, images, targets)
}

func (a *answering) disk(d domainxml.NeededDisk, is Answered) {
	is.Unknown = clipped(is.Unknown, maxUnknown)
	a.answer.Disks[d.Target] = is
}

// look looks at files.
func (a *answering) look(ctx context.Context, images []virt.Image, targets map[string][]string) {
	if len(images) == 0 {
		return
	}
	found, why := a.LookAtImages(ctx, images, a.ask.CreateDisks)
	for path, all := range targets {
		is := Answered{}
		if i := found[path]; i != nil {
			is = Answered{There: true, Format: clipped(i.Format, 16), Size: i.Size}
		} else if err := why[path]; err != nil {
			is.Unknown = clipped(err.Error(), maxUnknown)
		}
		for _, target := range all {
			a.answer.Disks[target] = is
		}
	}
}

// device looks whether there is one, and not at what is in it.
func (a *answering) device(path string) Answered {
	if err := a.policy.CheckDisk(path); err != nil {
		return Answered{Unknown: fmt.Sprintf("%s does not look there: %v", a.Config.Name, err)}
	}
	switch _, err := a.Observer.Resolve(path); {
	case err == nil:
		return Answered{There: true}
	case errors.Is(err, fs.ErrNotExist):
		return Answered{}
	default:
		return Answered{Unknown: err.Error()}
	}
}

func (a *answering) volume(ctx context.Context, d domainxml.NeededDisk) Answered {
	for _, r := range a.refused {
		if r.Element == "devices/disk/source@pool" && r.Value == d.Pool {
			return Answered{Unknown: fmt.Sprintf("%s does not look there: %v", a.Config.Name, r)}
		}
	}
	switch i, err := a.Libvirt.Volume(ctx, d.Pool, d.Volume); {
	case err != nil:
		return Answered{Unknown: virt.Words("looking for the volume", err)}
	case i == nil:
		return Answered{}
	default:
		return Answered{There: true, Format: clipped(i.Format, 16), Size: i.Size}
	}
}

// firmware looks for what libvirt needs of it here. Its variables come with the guest's memory, into
// a file that libvirt makes from the template.
func (a *answering) firmware(context.Context) {
	const firmware = "firmware"
	here, n := a.Config.Name, a.needs
	look := func(path, what, code, remedy string, check func(string) error) (there bool) {
		if path == "" {
			return true
		}
		if err := check(path); err != nil {
			a.unknown(firmware, "whether %s has %s: %v", here, what, err)
			return true
		}
		switch _, err := a.Observer.Resolve(path); {
		case err == nil:
			a.ok(firmware, "%s has %s (%s)", here, what, path)
			return true
		case !errors.Is(err, fs.ErrNotExist):
			a.unknown(firmware, "whether %s has %s: %v", here, what, err)
			return true
		case code == "":
			return false
		}
		a.fail(firmware, code, remedy, "%s has no %s for the guest's %s", here, path, what)
		return false
	}
	loader := func(path string) error { // one that can be written is an image
		if a.policy.CheckFirmware(path) == nil {
			return nil
		}
		return a.policy.CheckDisk(path)
	}
	look(n.Loader, "firmware", "no-firmware", "install the same firmware there (ovmf, edk2-ovmf)", loader)
	if n.NVRAM == "" || look(n.NVRAM, "file of the firmware's variables", "", "", a.policy.CheckNVRAM) {
		return
	}
	if n.Template == "" {
		a.ok(firmware, "libvirt on %s makes the file for the firmware's variables", here)
		return
	}
	look(n.Template, "template of the firmware's variables", "no-template", "install the same firmware there, or put the file in its place", a.policy.CheckFirmware)
}

// targetsOf are all that a guest has.
func targetsOf(n *domainxml.Needs) (all []string) {
	for _, d := range n.Disks {
		all = append(all, d.Target)
	}
	slices.Sort(all)
	return all
}
