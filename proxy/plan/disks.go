package plan

import (
	"context"
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/units"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

type plannedDisk struct {
	control.PlannedDisk
	copied    domainxml.Disk // where it is
	allocated uint64         // bytes that its image takes
	optional  bool
}

// measureDisks says how large the guest's disks are, and which would be copied.
func (pl *planning) measureDisks(ctx context.Context) error {
	copied := make(map[string]domainxml.Disk)
	if pl.asked.Flags&(libvirt.MigrateNonSharedDisk|libvirt.MigrateNonSharedInc) != 0 {
		all, err := domainxml.Disks(pl.asked.Description, pl.req.Values.Lists[control.OptionDisks])
		if err != nil {
			return err
		}
		for _, d := range all {
			copied[d.Target] = d
		}
	}
	for _, d := range pl.needs.Disks {
		is := plannedDisk{PlannedDisk: control.PlannedDisk{Target: d.Target, Device: d.Device, Source: d.Path, Format: d.Format}, optional: d.Optional}
		is.copied, is.Copied = copied[d.Target]
		switch {
		case d.Pool != "":
			is.Source = d.Pool + "/" + d.Volume
		case is.Source == "":
			is.Source = "network"
		}
		if is.Device == "" {
			is.Device = "disk"
		}
		var err error
		if is.Size, is.allocated, err = pl.asked.Virt.DiskSize(ctx, pl.asked.Guest.UUID, d.Target); err != nil {
			pl.found.Unknown("disks", "how large %s %s (%s) is: %s", is.Device, is.Target, is.Source, virt.Words("asking for it", err))
		}
		pl.disks = append(pl.disks, is)
	}
	return nil
}

// answeredDisks judges what the destination has in place of the guest's disks.
func (pl *planning) answeredDisks(there map[string]Answered) {
	for i := range pl.disks {
		d := &pl.disks[i]
		is, told := there[d.Target]
		d.There, d.ThereFormat, d.ThereSize, d.Unknown = is.There, is.Format, is.Size, is.Unknown
		if !told {
			d.Unknown = pl.peer.Name + " does not say"
		}
		result, code, text, remedy := pl.judge(d)
		pl.there.Add(control.Finding{Check: "disks", Result: result, Code: code, Text: fmt.Sprintf("%s %s (%s): %s", d.Device, d.Target, d.Source, text), Remedy: remedy})
	}
}

// judge says what is to be said of one disk.
func (pl *planning) judge(d *plannedDisk) (result, code, text, remedy string) {
	if d.Unknown == "" && !d.There {
		return pl.judgeMissing(d)
	}
	there, has := pl.peer.Name, "it"
	switch {
	case d.ThereFormat != "" && d.ThereSize > 0:
		has = d.ThereFormat + " of " + units.Size(d.ThereSize)
	case d.ThereSize > 0:
		has = units.Size(d.ThereSize)
	case d.ThereFormat != "":
		has = d.ThereFormat
	}
	switch {
	case d.Unknown != "":
		return control.ResultUnknown, "unknown", "what is there on " + there + ": " + d.Unknown, ""
	case d.ThereSize > 0 && d.Size > 0 && d.ThereSize != d.Size:
		remedy := "look whether it is the same disk"
		if d.Copied {
			remedy = "make it as large there, or remove it there and migrate with --create-disks"
		}
		is := units.Size(d.Size)
		if is == units.Size(d.ThereSize) {
			is = fmt.Sprintf("%d bytes, not %d", d.Size, d.ThereSize)
		}
		return control.ResultError, "size", fmt.Sprintf("%s has %s in its place, and it has %s", there, has, is), remedy
	case d.ThereFormat != "" && d.Format != "" && d.Format != "raw" && d.ThereFormat != d.Format:
		return control.ResultError, "format", fmt.Sprintf("%s has %s in its place, and it is %s", there, has, d.Format), "make it in the same format there (qemu-img create)"
	case d.ThereSize == 0 && d.Size > 0:
		return control.ResultUnknown, "unknown", fmt.Sprintf("whether what %s has in its place is as large: `qemu-img info` or `blockdev --getsize64` there says it; here it has %d bytes", there, d.Size), ""
	case d.Copied:
		return control.ResultOK, "", fmt.Sprintf("it is copied into the one on %s (%s)", there, has), ""
	}
	return control.ResultOK, "", fmt.Sprintf("%s has %s", there, has), ""
}

// judgeMissing says what is to be said of one that the destination lacks.
func (pl *planning) judgeMissing(d *plannedDisk) (result, code, text, remedy string) {
	there := pl.peer.Name
	switch {
	case d.optional:
		return control.ResultWarning, "missing", there + " lacks it, and the guest goes on without (startupPolicy)", ""
	case d.Copied:
		if err := arrival.CanMake(d.copied); err != nil {
			return control.ResultError, "missing", there + " lacks what it is copied into, and sluice can't make that", err.Error()
		}
		if pl.req.CreateDisks {
			return control.ResultOK, "", fmt.Sprintf("%s makes it, with %s, and it is copied", there, units.Size(d.Size)), ""
		}
		remedy := "add --create-disks"
		if d.Size > 0 && pl.asked.Flags&libvirt.MigrateNonSharedInc == 0 { // else it is based on another
			remedy += ", or make it there: " + virt.MakeDisk(d.copied, d.Size, false)
		}
		return control.ResultError, "missing", there + " lacks the file that it is copied into", remedy
	case d.Device == "cdrom" || d.Device == "floppy":
		return control.ResultError, "missing", there + " lacks what is in the drive",
			fmt.Sprintf("eject it (virsh change-media %s %s --eject), or put the same file there", virt.InShell(pl.asked.Guest.Name), virt.InShell(d.Target))
	}
	return control.ResultError, "missing", there + " lacks it", "mount the storage there that both hosts share, or copy the disks with --copy-storage-all --create-disks"
}
