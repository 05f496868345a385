package plan

import (
	"fmt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// answeredDisks judges what the destination has in place of the guest's disks.
func (pl *planning) answeredDisks(there map[string]Answered) {
	optional := make(map[string]bool)
	for _, d := range pl.needs.Disks {
		optional[d.Target] = d.Optional
	}
	for i := range pl.disks {
		d := &pl.disks[i]
		is, told := there[d.Target]
		d.There, d.ThereFormat, d.ThereSize, d.Unknown = is.There, is.Format, is.Size, is.Unknown
		if !told {
			d.Unknown = pl.peer.Name + " does not say"
		}
		result, code, text, remedy := pl.judge(d, optional[d.Target])
		pl.there.add(control.Finding{Check: "disks", Result: result, Code: code, Text: fmt.Sprintf("%s %s (%s): %s", d.Device, d.Target, d.Source, text), Remedy: remedy})
	}
}

// judge says what is to be said of one disk.
func (pl *planning) judge(d *plannedDisk, optional bool) (result, code, text, remedy string) {
	there := pl.peer.Name
	has := d.ThereFormat
	if d.ThereSize > 0 {
		has += " of " + size(d.ThereSize)
	}
	switch {
	case d.Unknown != "":
		return control.ResultUnknown, "unknown", "what is there on " + there + ": " + d.Unknown, ""
	case !d.There && optional:
		return control.ResultWarning, "missing", there + " lacks it, and the guest goes on without (startupPolicy)", ""
	case !d.There && d.Copied && pl.req.CreateDisks:
		if err := pl.canMake(d.Target); err != nil {
			return control.ResultError, "missing", there + " lacks it, and it can't be made", err.Error()
		}
		return control.ResultOK, "", fmt.Sprintf("%s makes it, with %s, and it is copied", there, size(d.Size)), ""
	case !d.There && d.Copied:
		return control.ResultError, "missing", there + " lacks the file that it is copied into",
			fmt.Sprintf("add --create-disks, or make it there: qemu-img create -f %s %s %d", virt.InShell(d.Format), virt.InShell(d.Source), d.Size)
	case !d.There && (d.Device == "cdrom" || d.Device == "floppy"):
		return control.ResultError, "missing", there + " lacks what is in the drive",
			fmt.Sprintf("eject it (virsh change-media %s %s --eject), or put the same file there", virt.InShell(pl.asked.Guest.Name), virt.InShell(d.Target))
	case !d.There:
		return control.ResultError, "missing", there + " lacks it", "mount the storage there that both hosts share, or copy the disks with --copy-storage-all --create-disks"
	case d.ThereSize > 0 && d.Size > 0 && d.ThereSize != d.Size:
		remedy := "look whether it is the same disk"
		if d.Copied {
			remedy = "make it as large there, or remove it there and migrate with --create-disks"
		}
		return control.ResultError, "size", fmt.Sprintf("%s has %s in its place, and it has %s", there, has, size(d.Size)), remedy
	case d.ThereFormat != "" && d.Format != "" && d.Format != "raw" && d.ThereFormat != d.Format:
		return control.ResultError, "format", fmt.Sprintf("%s has %s in its place, and it is %s", there, has, d.Format), "make it in the same format there (qemu-img create)"
	case d.Copied:
		return control.ResultOK, "", fmt.Sprintf("it is copied into the file on %s (%s)", there, has), ""
	}
	if has == "" {
		has = "it"
	}
	return control.ResultOK, "", fmt.Sprintf("%s has %s", there, has), ""
}
