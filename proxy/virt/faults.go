package virt

import (
	"context"
	"fmt"
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

// ParallelPostCopy is of the QEMU that first takes the two together: its machine types up to 7.2
// have QEMU open the channel of post-copy before the others, and say nothing on it.
var ParallelPostCopy = &Fault{
	Program: "QEMU", Since: "10.1.0",
	Text: "guests with machine types up to 7.2 never switch to post-copy with parallel connections",
	Do:   "leave out --parallel with --postcopy for them",
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

// CheckResume refuses to resume a broken post-copy where libvirt here would crash. A distribution may
// have mended its own, which no version tells: so it is for callers who have not said that they know.
func (l Libvirt) CheckResume(ctx context.Context) error {
	v, err := l.Versions(ctx)
	if err != nil || !v.Has(ResumeCrash) {
		return err
	}
	return fmt.Errorf("libvirt on %s is %s, with which %s; %s; or resume with --unsafe if it was mended there", l.Host, v.Libvirt, ResumeCrash.Text, ResumeCrash.Do)
}
