package arrival

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/guestpolicy"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// maxDisk in bytes, 1 PiB, is more than disks have, and keeps their sum within 64 bits.
const maxDisk = 1 << 50

// Making is what a guest that comes, or may, is to have made.
type Making struct {
	Flags       libvirt.DomainMigrateFlags
	Description string
	Chosen      []string              // of its disks, by their targets; none: all
	Disks       map[string]CreateDisk // by their targets
	Policy      *guestpolicy.Policy
}

// wanted are the disks that a Prepare asks for, as the guest's description has them, which libvirt
// goes by as well: its caller adds only how large they are, and what is beneath them. All lie where
// a guest's images may.
func (a *Arrivals) wanted(m *Making) (images []virt.Image, err error) {
	switch {
	case len(m.Disks) == 0:
		return nil, nil
	case m.Flags&(libvirt.MigrateNonSharedDisk|libvirt.MigrateNonSharedInc) == 0:
		return nil, errors.New("disks are to be made, and none to be copied")
	}
	incremental := m.Flags&libvirt.MigrateNonSharedInc != 0
	disks, err := domainxml.Disks(m.Description, m.Chosen)
	if err != nil {
		return nil, fmt.Errorf("read the guest's description: %w", err)
	}
	for _, target := range slices.Sorted(maps.Keys(m.Disks)) {
		c := m.Disks[target]
		at := slices.IndexFunc(disks, func(d domainxml.Disk) bool { return d.Target == target })
		switch {
		case at < 0:
			return nil, fmt.Errorf("disk %.40q is not one of those that are copied", target)
		case c.Size == 0 || c.Size > maxDisk:
			return nil, fmt.Errorf("disk %s can't be made with %d bytes", target, c.Size)
		}
		if err := CanMake(disks[at]); err != nil {
			return nil, err
		}
		i := virt.Image{Path: disks[at].Path, Format: disks[at].Format, Size: c.Size}
		if incremental && i.Format == "qcow2" {
			i.Backing, i.BackingFormat = c.Backing, c.BackingFormat
		}
		if slices.ContainsFunc(images, func(o virt.Image) bool { return o.Path == i.Path }) {
			return nil, fmt.Errorf("disk %s has the file of another one, %s", target, i.Path)
		}
		err := m.Policy.CheckImage(i.Path)
		if err == nil && i.Backing != "" {
			err = m.Policy.CheckImage(i.Backing)
		}
		if err != nil {
			return nil, fmt.Errorf("disk %s can't be made: %w: see [accept] in docs/config.md on %s", target, err, a.Config.Name)
		}
		images = append(images, i)
	}
	return images, nil
}

// CanMake says why a disk's file can't be made. Both hosts ask.
func CanMake(d domainxml.Disk) error {
	switch {
	case d.Path == "":
		return fmt.Errorf("disk %s is no file: make one like it at the destination yourself (virsh vol-create-as, lvcreate, rbd create)", d.Target)
	case d.DataFile:
		return fmt.Errorf("disk %s has its data in a file of its own: make both files at the destination yourself (qemu-img create -o data_file=)", d.Target)
	case d.Encrypted:
		return fmt.Errorf("disk %s is encrypted: make one with the same key at the destination yourself", d.Target)
	case d.Format != "raw" && d.Format != "qcow2":
		return fmt.Errorf("disk %s is of format %.20q, where raw and qcow2 are made: make it at the destination yourself (qemu-img create)", d.Target, d.Format)
	}
	return nil
}

// makeDisks makes those of the images whose files are missing. All are noted before, so that none
// is left by a guest that never runs here. If it fails, none is.
// accept says where images may lie.
func (a *Arrivals) makeDisks(ctx context.Context, m *madeDisks, images []virt.Image, accept func(string) error) (err error) {
	leave, err := a.useFolders(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := a.disksFree(ctx, m.UUID, images); err != nil {
		return err
	}
	for _, i := range images {
		if i.Backing == "" {
			continue
		}
		if err := a.checkBeneath(ctx, i.Backing, i.BackingFormat, accept); err != nil {
			return fmt.Errorf("disk %s can't be made: %w", i.Path, err)
		}
	}
	if is, err := a.Dir.Claim(claimOf(m)); err != nil || !is {
		return errors.Join(err, fmt.Errorf("the disks of session %s are another process's", m.Session))
	}
	a.disks.own(m, true)
	for _, folder := range foldersOf(images) {
		if err = a.makeIn(ctx, folder, m, images); err != nil {
			break
		}
	}
	if err == nil && len(m.Disks) > 0 {
		return nil
	}
	defer a.disown(m)
	if len(m.Disks) == 0 {
		return errors.Join(err, a.disks.forget(m))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Config.Limits.GiveUpTimeout)
	defer cancel()
	a.removed(m, a.removeDisks(ctx, m))
	return err
}

// makeIn makes those that lie in one folder.
func (a *Arrivals) makeIn(ctx context.Context, folder string, m *madeDisks, images []virt.Image) error {
	f, err := a.Libvirt.OpenImageFolder(ctx, folder)
	if err != nil {
		return a.folderCause("opening the folder "+folder, err)
	}
	defer f.Close(context.WithoutCancel(ctx))
	var missing []virt.Image
	var need uint64
	for _, i := range images {
		if path.Dir(i.Path) != folder {
			continue
		}
		has, _, err := f.Has(ctx, path.Base(i.Path))
		if err != nil {
			return a.folderCause("looking for "+i.Path, err)
		}
		if !has {
			missing, need = append(missing, i), need+i.Size
		}
	}
	if err := a.hasRoom(ctx, f, folder, need); err != nil {
		return err
	}
	for _, i := range missing {
		d := &madeDisk{Image: i}
		m.Disks = append(m.Disks, d)
		if err := a.disks.note(m); err != nil {
			return fmt.Errorf("note which disks are made: %w", err)
		}
		if err := f.Make(ctx, i); err != nil {
			if virt.FromDriver(err) { // and libvirt has made nothing, or removed it again
				m.Disks = m.Disks[:len(m.Disks)-1]
			}
			return a.folderCause("making the disk "+i.Path, err)
		}
		d.Made = true
	}
	if len(missing) == 0 {
		return nil
	}
	if err := a.disks.note(m); err != nil {
		return fmt.Errorf("note which disks were made: %w", err)
	}
	return nil
}

func (a *Arrivals) folderCause(doing string, err error) error {
	return &stream.Cause{Code: stream.CodeLibvirt, Host: a.Config.Name, Text: virt.Words(doing, err)}
}

// hasRoom refuses disks that may outgrow their file system: a peer could fill it otherwise, and all
// other guests there would stop. What was made there before, and is not written yet, counts.
func (a *Arrivals) hasRoom(ctx context.Context, f *virt.ImageFolder, folder string, need uint64) error {
	if need == 0 {
		return nil
	}
	free, err := f.Free(ctx)
	if err != nil {
		return a.folderCause("asking how much is free in "+folder, err)
	}
	all, err := a.disks.noted()
	if err != nil {
		return err
	}
	for _, other := range all {
		for _, d := range other.Disks {
			if path.Dir(d.Path) != folder || !d.Made {
				continue
			}
			if has, taken, err := f.Has(ctx, path.Base(d.Path)); err == nil && has && taken < d.Size {
				free -= min(free, d.Size-taken)
			}
		}
	}
	if need > free {
		return fmt.Errorf("%s has %d MiB free that no other disk may come to need, and the disks to be made there may grow to %d MiB: free some, or make the disks yourself and leave --create-disks out",
			folder, free>>20, (need+1<<20-1)>>20)
	}
	return nil
}

// disksFree says which of the files another session has had made. Of one that is over, whose they
// are is settled first; that the same guest comes again, from where it runs, settles it as well.
func (a *Arrivals) disksFree(ctx context.Context, uuid string, images []virt.Image) error {
	all, err := a.disks.noted()
	if err != nil {
		return err
	}
	for _, other := range all {
		for _, i := range images {
			if !slices.Contains(other.paths(), i.Path) || a.settleLeft(ctx, other, true) {
				continue
			}
			if other.Kept && other.UUID == uuid && a.disks.forget(other) == nil {
				continue
			}
			if a.disks.owns(other) {
				return fmt.Errorf("disk %s is made for guest %s, which %s brings", i.Path, other.Guest, other.Peer)
			}
			return fmt.Errorf("disk %s was made for guest %s, which %s has brought, and it is not settled whether that runs here: the log of %s says more; remove the file if it does not",
				i.Path, other.Guest, other.Peer, a.Config.Name)
		}
	}
	return nil
}

// useFolders lets one at a time of this host's processes of sluice use libvirt's storage pools.
func (a *Arrivals) useFolders(ctx context.Context) (leave func(), err error) {
	const claim = "storage pools"
	select {
	case a.disks.making <- struct{}{}:
		err = a.Dir.AwaitClaim(ctx, claim)
	case <-ctx.Done():
		return nil, fmt.Errorf("wait until others have made their disks: %w", context.Cause(ctx))
	}
	if err != nil {
		<-a.disks.making
		return nil, fmt.Errorf("wait until another process of sluice has made its disks: %w", err)
	}
	return func() {
		a.Dir.Unclaim(claim)
		<-a.disks.making
	}, nil
}

// foldersOf are those that the images lie in.
func foldersOf(images []virt.Image) (folders []string) {
	for _, i := range images {
		if folder := path.Dir(i.Path); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// claimOf keeps other processes from a session's disks as long as this one lives.
func claimOf(m *madeDisks) string { return "disks of " + m.name() }

// disown leaves what is not settled to SettleDisks, of whichever process.
func (a *Arrivals) disown(m *madeDisks) {
	a.disks.own(m, false)
	defer a.disks.leave()
	if err := a.Dir.Unclaim(claimOf(m)); err != nil {
		a.Log.Error().Err(err).Str("guest", m.Guest).Msg("the disks made for it are not free for another process")
	}
}
