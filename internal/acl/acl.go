// Package acl lets one further user use a file of this process's, by a list of the kind that acl(5)
// describes. Unlike chown this takes no capability, and the file stays its maker's. Where the file
// system has no such lists the file is given away after all, which takes CAP_CHOWN.
package acl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Rights over a file or folder.
const (
	Execute = 1 << iota // of a folder: search
	Write
	Read
)

// Names of the extended attributes that hold the lists: of the file itself, and of a folder for
// what is made in it.
const (
	access   = "system.posix_acl_access"
	defaults = "system.posix_acl_default"
)

// Grant gives a user rights over a file or socket of this process's user. Its group then has none.
func Grant(path string, uid int, rights uint16) error {
	if uid == os.Geteuid() {
		return nil
	}
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	mode := uint16(st.Mode().Perm())
	err = set(path, access, list(mode>>6&7, []int{uid}, rights, mode&7))
	if errors.Is(err, errors.ErrUnsupported) {
		if err = os.Lchown(path, uid, -1); errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%w: its file system has no access control lists, so this takes CAP_CHOWN and CAP_DAC_OVERRIDE", err)
		}
	}
	if err != nil {
		return fmt.Errorf("give uid %d rights over %s: %w", uid, path, err)
	}
	return nil
}

// LetRead lets users read a file of this process's user, and no others. Where the file system has no
// lists that is an error, unless they are this process's.
func LetRead(path string, uids []int) error {
	others := slices.DeleteFunc(slices.Sorted(slices.Values(uids)), func(uid int) bool { return uid == os.Geteuid() })
	if len(others) == 0 {
		return os.Chmod(path, 0o600) // which ends the rights of those in a list, too: it is their mask
	}
	if err := set(path, access, list(Read|Write, slices.Compact(others), Read, 0)); err != nil {
		return fmt.Errorf("let users read %s: %w", path, err)
	}
	return nil
}

func set(path, attribute string, list []byte) error {
	return os.NewSyscallError("setxattr", unix.Lsetxattr(path, attribute, list, 0))
}

// GrantFolder gives a user all rights over a folder, and this process's user all over what is made
// in it, where other users then have none. What the umask of its maker takes from the group it
// takes from this process, too; QEMU's is 002 (qemuProcessLaunch in libvirt).
func GrantFolder(path string, uid int) error {
	const all = Read | Write | Execute
	if uid == os.Geteuid() {
		return nil
	}
	err := set(path, defaults, list(all, []int{os.Geteuid()}, all, 0))
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("set the access control list of %s: %w", path, err)
	}
	return Grant(path, uid, all)
}

// list is one in the form of include/uapi/linux/posix_acl_xattr.h: a version, and entries of a tag,
// rights and a user, in the order of their tags and users. The users have the same rights.
func list(owner uint16, users []int, rights, others uint16) []byte {
	const (
		version            = 2
		nobody             = ^uint32(0)
		ofOwner, ofUser    = 0x01, 0x02
		ofGroup, mask, all = 0x04, 0x10, 0x20
	)
	b := binary.LittleEndian.AppendUint32(nil, version)
	add := func(tag, rights uint16, user uint32) {
		b = binary.LittleEndian.AppendUint16(b, tag)
		b = binary.LittleEndian.AppendUint16(b, rights)
		b = binary.LittleEndian.AppendUint32(b, user)
	}
	add(ofOwner, owner, nobody)
	for _, uid := range users {
		add(ofUser, rights, uint32(uid))
	}
	add(ofGroup, 0, nobody)
	add(mask, rights, nobody)
	add(all, others, nobody)
	return b
}

// Supported says whether the file system has lists that a path is on, or would be.
func Supported(path string) bool {
	for ; ; path = filepath.Dir(path) {
		_, err := unix.Lgetxattr(path, access, nil)
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path):
			continue
		case err == nil, errors.Is(err, unix.ENODATA):
			return true
		}
		return false
	}
}
