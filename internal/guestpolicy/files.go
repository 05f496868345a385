package guestpolicy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/internal/config"
)

// clean says whether a path means the same to everyone who reads it.
func clean(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func beneath(p, folder string) bool { return strings.HasPrefix(p, strings.TrimSuffix(folder, "/")+"/") }

// real is a path by the name that /var/run has today.
func real(p string) string {
	if rest, is := strings.CutPrefix(p, "/var/run/"); is {
		return "/run/" + rest
	}
	return p
}

// inFolders is for what lies with the disks' images.
func inFolders(j *judge, e *element, v string) {
	j.image(e.path, v)
}

func (j *judge) image(where, v string) {
	j.file(where, v, "folders", "it lies in no folder for guests' images", j.policy.accept.Folders)
}

// CheckImage says whether a disk's image may be made at a path: in a folder for them, whichever
// elements are accepted whole, and not among devices.
func (p *Policy) CheckImage(path string) error {
	if err := p.CheckDisk(path); err != nil {
		return err
	}
	if beneath(path, "/dev") {
		return fmt.Errorf("%.120q is no place for a file", path)
	}
	return nil
}

// CheckDisk says whether a disk may be at a path, be it a file or a device, whichever elements are
// accepted whole.
func (p *Policy) CheckDisk(path string) error {
	return p.checkPath(func(j *judge) { j.image("devices/disk/source@file", path) })
}

// CheckFirmware is CheckDisk for firmware that is only read, and CheckNVRAM for its variables.
func (p *Policy) CheckFirmware(path string) error {
	return p.checkPath(func(j *judge) { j.firmware("os/loader", path) })
}

func (p *Policy) CheckNVRAM(path string) error {
	return p.checkPath(func(j *judge) { j.nvram("os/nvram", path) })
}

func (p *Policy) checkPath(rule func(*judge)) error {
	j := &judge{policy: p}
	switch rule(j); {
	case j.err != nil:
		return j.err
	case len(j.refusals) > 0:
		return j.refusals[0]
	}
	return nil
}

// firmware may be read, and nothing more: libvirt gives what a guest writes to QEMU's user.
func (j *judge) firmware(where, v string) {
	j.file(where, v, "firmware", "it lies in no folder for firmware", j.policy.accept.Firmware, j.policy.accept.Folders)
}

func (j *judge) nvram(where, v string) {
	if strings.TrimSpace(v) == "" { // libvirt chooses one, or it is a <source>
		return
	}
	j.file(where, v, "nvram", "it lies in no folder for firmware's variables", j.policy.accept.NVRAM, j.policy.accept.Folders)
}

func (j *judge) loader(e *element, v string) {
	switch {
	case strings.TrimSpace(v) == "": // libvirt chooses one
	case e.attr("type", "rom") == "rom" || e.attr("readonly", "no") == "yes":
		j.firmware(e.path, v)
	default:
		inFolders(j, e, v)
	}
}

func (j *judge) shared(where, v string) {
	j.file(where, v, "shared_folders", "it lies in no folder that guests may share with the host", j.policy.accept.SharedFolders)
}

// file judges a path by the folders that it may lie in, as it is written and as it is once symbolic
// links are followed: storage that hosts share can be written by another one, links included.
func (j *judge) file(where, v, key, why string, lists ...[]string) {
	if v == "" && strings.Contains(where, "@") { // an empty drive
		return
	}
	folders := slices.Concat(lists...)
	switch target, err := j.resolve(v); {
	case !clean(v) || !j.within(v, folders):
		j.refuse(where, v, key, path.Dir(path.Clean("/"+v)), "%s", why)
	case err != nil:
		j.refuse(where, v, "", "", "it cannot be looked at: %v", err)
	case target != v && !j.within(target, folders):
		j.refuse(where, v, key, path.Dir(target), "it leads to %.80q: %s", target, why)
	}
}

// within says whether a path lies in one of the folders, as they are written or once links are
// followed.
func (j *judge) within(p string, folders []string) bool {
	in := func(folder string) bool {
		if beneath(real(p), real(folder)) {
			return true
		}
		target, err := j.resolve(folder)
		return err == nil && beneath(p, target)
	}
	if slices.ContainsFunc(folders, func(f string) bool { return f != config.AcceptPools && in(f) }) {
		return true
	}
	return slices.Contains(folders, config.AcceptPools) && slices.ContainsFunc(j.ownPools(), func(p Pool) bool { return in(p.Target) })
}

// resolve follows links as far as what the path names is there. Links in /dev are udev's.
func (j *judge) resolve(p string) (string, error) {
	if !clean(p) || beneath(p, "/dev") {
		return p, nil
	}
	follow := j.policy.Resolve
	if follow == nil {
		follow = filepath.EvalSymlinks
	}
	target, err := follow(p)
	if err == nil {
		return target, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || p == "/" {
		return "", err
	}
	dir, err := j.resolve(path.Dir(p))
	if err != nil {
		return "", err
	}
	return path.Join(dir, path.Base(p)), nil
}

// system are folders that hold the host itself. A pool in or above one of them is no place for
// guests from elsewhere, whatever it is used for.
var system = []string{"/bin", "/boot", "/etc", "/lib", "/lib64", "/proc", "/root", "/run/libvirt", "/run/systemd", "/sbin", "/sys", "/usr",
	"/var/lib/libvirt/qemu", "/var/log", "/var/spool"}

// ownPools are the storage pools whose folder holds guests' images alone. In those of other types
// (disk, scsi, iscsi, mpath) it is one of all the host's devices.
func (j *judge) ownPools() []Pool {
	if j.asked {
		return j.pools
	}
	j.asked = true
	if j.policy.pools == nil {
		return nil
	}
	all, err := j.policy.pools()
	if err != nil {
		j.err = fmt.Errorf("ask libvirt for its storage pools: %w", err)
		return nil
	}
	for _, p := range all {
		switch p.Type {
		case "dir", "fs", "netfs", "logical", "zfs", "vstorage":
		default:
			continue
		}
		overlaps := func(s string) bool {
			return p.Target == s || beneath(p.Target, s) || beneath(s, p.Target)
		}
		if clean(p.Target) && p.Target != "/" && p.Target != "/dev" && !slices.ContainsFunc(system, overlaps) {
			j.pools = append(j.pools, p)
		}
	}
	return j.pools
}
