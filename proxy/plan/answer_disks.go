package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// disks says what there is in place of each of the guest's disks. It looks at no path that is not
// for guests' images, whichever elements are accepted whole.
func (a *answering) disks(ctx context.Context) {
	var images []virt.Image
	targets := make(map[string][]string) // by their paths
	for i, d := range a.needs.Disks {
		switch {
		case i >= maxDisks:
			a.Unknown("disks", "what %s has in place of the disks from the %dth on: no answer has so many", a.Config.Name, maxDisks+1)
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
			a.disk(d, a.device(ctx, d.Path))
		case d.Kind == "volume" && d.Pool != "":
			a.disk(d, a.volume(ctx, d))
		default:
			a.disk(d, Answered{Unknown: fmt.Sprintf("libvirt on %s looks at disks of type %.20q when the guest comes, and not before", a.Config.Name, d.Kind)})
		}
	}
	a.look(ctx, images, targets)
}

func (a *answering) disk(d domainxml.NeededDisk, is Answered) {
	is.Unknown = clipped(stream.Printable(is.Unknown), maxUnknown)
	a.answer.Disks[d.Target] = is
}

// making says why disks that are missing could not be made.
func (a *answering) making(ctx context.Context) {
	if len(a.ask.Make) == 0 {
		return
	}
	there := func(path string) bool {
		return slices.ContainsFunc(a.needs.Disks, func(d domainxml.NeededDisk) bool { return d.Path == path && a.answer.Disks[d.Target].There })
	}
	m := &arrival.Making{Flags: a.flags, Description: a.text, Chosen: a.ask.Values.Lists[control.OptionDisks], Disks: a.ask.Make, Policy: a.policy}
	if err := a.CheckMaking(ctx, m, there); err != nil {
		a.Fail("disks", "not-made", "", "%v", err)
	}
}

// dataFiles looks for those in which disks have their data, of which libvirt tells.
func (a *answering) dataFiles(context.Context) {
	here := a.Config.Name
	for i, d := range a.needs.Disks {
		if d.DataFile == "" || i >= maxDisks {
			continue
		}
		if err := a.policy.CheckImage(d.DataFile); err != nil {
			a.Unknown("disks", "whether %s has the data file of disk %s: %v", here, d.Target, err)
			continue
		}
		switch _, err := a.Observer.Resolve(d.DataFile); {
		case errors.Is(err, fs.ErrNotExist):
			a.Fail("disks", "data-file", "mount the storage there that both hosts share, or make both files there (qemu-img create -o data_file=)", "%s has no %s, in which disk %s has its data", here, d.DataFile, d.Target)
		case err != nil:
			a.Unknown("disks", "whether %s has the data file of disk %s: %v", here, d.Target, err)
		default:
			a.OK("disks", "%s has the data file of disk %s (%s)", here, d.Target, d.DataFile)
		}
	}
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
			is = Answered{There: true, Format: clipped(i.Format, maxFormat), Size: i.Size}
		} else if err := why[path]; err != nil {
			is.Unknown = clipped(stream.Printable(err.Error()), maxUnknown)
		}
		for _, target := range all {
			a.answer.Disks[target] = is
		}
	}
}

// device looks whether there is one, and how large it is, and not at what is in it.
func (a *answering) device(ctx context.Context, path string) Answered {
	if err := a.policy.CheckDisk(path); err != nil {
		return Answered{Unknown: fmt.Sprintf("%s does not look there: %v", a.Config.Name, err)}
	}
	if i, err := a.Libvirt.VolumeAt(ctx, path); err == nil && i != nil { // a pool's, such as a volume of LVM
		return Answered{There: true, Size: i.Size}
	}
	target, err := a.Observer.Resolve(path)
	switch {
	case err == nil:
		return Answered{There: true, Size: deviceSize(target)}
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "/dev/") && ownDevices():
		return Answered{Unknown: fmt.Sprintf("sluice on %s sees no devices of the host (PrivateDevices= of its unit), and no storage pool has this one", a.Config.Name)}
	case errors.Is(err, fs.ErrNotExist):
		return Answered{}
	default:
		return Answered{Unknown: err.Error()}
	}
}

// deviceSize is how many bytes a block device has: sysfs counts all in sectors of 512 bytes. 0: that
// is not known.
func deviceSize(path string) uint64 {
	text, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(path), "size"))
	if err != nil || filepath.Dir(path) != "/dev" {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 54)
	if err != nil {
		return 0
	}
	return n << 9
}

// ownDevices says whether /dev is not the host's, but one that this process was given.
func ownDevices() bool {
	mounts, err := os.ReadFile("/proc/self/mounts")
	is := ""
	for line := range strings.Lines(string(mounts)) {
		if of := strings.Fields(line); len(of) > 2 && of[1] == "/dev" {
			is = of[2] // that on top comes last
		}
	}
	return err != nil || is != "devtmpfs"
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
		return Answered{There: true, Format: clipped(i.Format, maxFormat), Size: i.Size}
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
			a.Unknown(firmware, "whether %s has %s: %v", here, what, err)
			return true
		}
		switch _, err := a.Observer.Resolve(path); {
		case err == nil:
			a.OK(firmware, "%s has %s (%s)", here, what, path)
			return true
		case !errors.Is(err, fs.ErrNotExist):
			a.Unknown(firmware, "whether %s has %s: %v", here, what, err)
			return true
		case code == "":
			return false
		}
		a.Fail(firmware, code, remedy, "%s has no %s for the guest's %s", here, path, what)
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
		a.OK(firmware, "libvirt on %s makes the file for the firmware's variables", here)
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
