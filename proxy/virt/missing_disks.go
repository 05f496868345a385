package virt

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
)

// noPool are libvirt's words at a destination that lacks a disk's file and has no storage pool in
// whose folder it could make it (qemuMigrationDstPrecreateDisk in src/qemu/qemu_migration.c).
const noPool = "no storage pool with matching target path"

// MissingDisks is what to make on a host whose libvirt says, in message, that a disk of the guest is
// missing there: each that the guest has in that folder, as it is here. description is the guest's;
// chosen are the disks that are copied, as domainxml.Disks has them; incremental says that only what
// the backing files lack is copied. It is empty for other messages, and where libvirt here does not
// tell.
func (l Libvirt) MissingDisks(ctx context.Context, uuid libvirt.UUID, description string, chosen []string, incremental bool, message, there string) string {
	_, folder, is := strings.Cut(message, noPool)
	if !is {
		return ""
	}
	disks, err := domainxml.Disks(description, chosen)
	if err != nil {
		return ""
	}
	v, err := l.Connect(ctx)
	if err != nil {
		return ""
	}
	defer v.Close()
	var commands []string
	for _, d := range disks {
		if d.Path == "" || !strings.Contains(folder, "'"+path.Dir(d.Path)+"'") {
			continue
		}
		size, _, err := v.DiskSize(ctx, uuid, d.Target)
		if err != nil {
			return ""
		}
		commands = append(commands, MakeDisk(d, size, incremental))
	}
	if len(commands) == 0 {
		return ""
	}
	return fmt.Sprintf("make the disk on %s: %s", there, strings.Join(commands, ", and if it is missing: "))
}

// DiskSize is how many bytes the guest sees of a disk, which it has open, and how many its image
// takes.
func (v *Conn) DiskSize(ctx context.Context, uuid libvirt.UUID, target string) (size, taken uint64, err error) {
	err = v.Bound(ctx, func() error {
		dom, err := v.DomainLookupByUUID(uuid)
		if err == nil {
			taken, size, _, err = v.DomainGetBlockInfo(dom, target, 0)
		}
		return err
	})
	return size, taken, err
}

// MakeDisk is the command that makes an image like a disk's, of so many bytes. incremental says that
// only what the backing files lack is copied into it.
func MakeDisk(d domainxml.Disk, size uint64, incremental bool) string {
	beneath := ""
	if incremental && d.Backing != "" {
		beneath = fmt.Sprintf("-b %s -F %s ", InShell(d.Backing), InShell(d.BackingFormat))
	}
	return fmt.Sprintf("`qemu-img create -f %s %s%s %d`", InShell(d.Format), beneath, InShell(d.Path), size)
}

// InShell is a word as a shell takes it: names are given by who defines a guest, or sends one.
func InShell(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
