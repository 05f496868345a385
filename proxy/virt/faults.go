package virt

import (
	"context"
	"fmt"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
)

// Fault is one that releases of libvirt or QEMU are known to have.
type Fault struct {
	Program     string // "libvirt" or "QEMU"
	Since, Till string // the first release that has it, and the first that no longer has; empty: none yet
	Text, Do    string
}

// ResumeCrash is a regression of 11.2.0, mended in 11.4.0.
var ResumeCrash = &Fault{
	Program: "libvirt", Since: "11.2.0", Till: "11.4.0",
	Text: "libvirtd crashes when a broken post-copy is resumed to this host",
	Do:   "update libvirt to 11.4.0 or newer, which leaves guests running",
}

// ParallelLosesGuest is QEMU 7.2's: at the destination it aborts as soon as the guest runs there
// (yank_unregister_instance), and libvirt tells of success. Later ones refuse the two together. It
// is not for `sluice check`: nobody gets that far.
var ParallelLosesGuest = &Fault{
	Program: "QEMU", Till: "10.1.0",
	Text: "post-copy with parallel connections loses the guest, or is refused",
	Do:   "leave out one of --postcopy and --parallel, or update QEMU to 10.1 at both hosts",
}

// ParallelPostCopy is of the QEMU that first takes the two together and works: machine types up to
// 7.2 have it open the channel of post-copy before the others, and say nothing on it.
var ParallelPostCopy = &Fault{
	Program: "QEMU", Since: "10.1.0",
	Text: "guests with machine types up to 7.2 never switch to post-copy with parallel connections",
	Do:   "leave out --parallel with --postcopy for them",
}

// InactiveImages is of images that the source has let go of and QEMU has not taken over yet, which
// it does once the guest runs: to let go of them again is what bdrv_inactivate_recurse does not
// expect. Images that were copied are written to meanwhile, and so are not inactive. It is not for
// `sluice check`: nobody gets that far.
var InactiveImages = &Fault{
	Program: "QEMU", Till: "10.0.0",
	Text: "a guest is lost that came paused, has not run since, and moves on",
	Do:   "have it run for some seconds first: `virsh resume`, then `virsh suspend`",
}

// VirtiofsStays: the state of virtiofsd goes with the guest from QEMU 8.2 on. Whether a guest may
// leave libvirt at the source knows, and asks virtiofsd (migrate-precopy); at the destination nobody
// does before QEMU fails. It is not for `sluice check`: most guests have none.
var VirtiofsStays = &Fault{
	Program: "QEMU", Till: "8.2.0",
	Text: "guests with virtiofs do not migrate",
	Do:   "update QEMU and virtiofsd at both hosts, or unmount and detach the file system first (`virsh detach-device`)",
}

var faults = []*Fault{ResumeCrash, ParallelPostCopy}

// Faults are those that are known of these versions.
func (v Versions) Faults() (known []*Fault) {
	for _, f := range faults {
		if v.Has(f) {
			known = append(known, f)
		}
	}
	return known
}

// Has says whether the release that is there has the fault.
func (v Versions) Has(f *Fault) bool {
	is := number(v.Libvirt)
	if f.Program == "QEMU" {
		is = number(v.QEMU)
	}
	return is > 0 && is >= number(f.Since) && (f.Till == "" || is < number(f.Till))
}

// number is a version as libvirt counts it, 0 for none.
func number(version string) int {
	var major, minor, micro int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &micro); n < 2 {
		return 0
	}
	return major*1_000_000 + minor*1000 + micro
}

// parallelPostCopy are the flags of a migration that asks for both.
const parallelPostCopy = libvirt.MigratePostcopy | libvirt.MigrateParallel

// CheckFaults refuses a migration to this host, of a guest of this description, that libvirt or QEMU
// here would not survive, or never end. That which would crash libvirt or not end can go on with the
// flag VIR_MIGRATE_UNSAFE: a distribution may have mended its own, which no version tells. That which
// would lose the guest cannot.
func (l Libvirt) CheckFaults(ctx context.Context, flags libvirt.DomainMigrateFlags, description string) error {
	unsafe := flags&libvirt.MigrateUnsafe != 0
	resume := flags&libvirt.MigratePostcopyResume != 0 && !unsafe
	both := flags&parallelPostCopy == parallelPostCopy
	virtiofs, err := domainxml.HasVirtiofs(description)
	if err != nil || !resume && !both && !virtiofs {
		return err
	}
	v, err := l.Versions(ctx)
	switch {
	case err != nil:
		return err
	case virtiofs && v.Has(VirtiofsStays):
		return fmt.Errorf("QEMU on %s is %s, with which %s: %s", l.Host, v.QEMU, VirtiofsStays.Text, VirtiofsStays.Do)
	case resume && v.Has(ResumeCrash):
		return fmt.Errorf("libvirt on %s is %s, with which %s; %s; or resume with --unsafe if it was mended there", l.Host, v.Libvirt, ResumeCrash.Text, ResumeCrash.Do)
	case both && v.Has(ParallelLosesGuest):
		return fmt.Errorf("QEMU on %s is %s, with which %s: %s", l.Host, v.QEMU, ParallelLosesGuest.Text, ParallelLosesGuest.Do)
	case both && !unsafe && v.Has(ParallelPostCopy):
		machine, err := domainxml.Machine(description)
		if err != nil || !upTo72(machine) {
			return err
		}
		return fmt.Errorf("QEMU on %s is %s, with which %s, and the guest's is %s; leave out one of --postcopy and --parallel, or go on with --unsafe if it was mended there", l.Host, v.QEMU, ParallelPostCopy.Text, machine)
	}
	return nil
}

// upTo72 tells a machine type by its version, as upstream's end with one: pc-i440fx-7.2, virt-6.0.
func upTo72(machine string) bool {
	version := machine[strings.LastIndexByte(machine, '-')+1:]
	n := number(version)
	return n > 0 && n <= number("7.2")
}
