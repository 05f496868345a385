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
	err = os.NewSyscallError("setxattr", unix.Lsetxattr(path, access, list(mode>>6&7, uid, rights, mode&7), 0))
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

// GrantFolder gives a user all rights over a folder, and this process's user all over what is made
// in it, where other users then have none. What the umask of its maker takes from the group it
// takes from this process, too; QEMU's is 002 (qemuProcessLaunch in libvirt).
func GrantFolder(path string, uid int) error {
	const all = Read | Write | Execute
	if uid == os.Geteuid() {
		return nil
	}
	err := unix.Lsetxattr(path, defaults, list(all, os.Geteuid(), all, 0), 0)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("set the access control list of %s: %w", path, err)
	}
	return Grant(path, uid, all)
}

// list is one in the form of include/uapi/linux/posix_acl_xattr.h: a version, and entries of a tag,
// rights and a user, in the order of their tags.
func list(owner uint16, uid int, rights, others uint16) []byte {
	const (
		version            = 2
		nobody             = ^uint32(0)
		ofOwner, ofUser    = 0x01, 0x02
		ofGroup, mask, all = 0x04, 0x10, 0x20
	)
	b := binary.LittleEndian.AppendUint32(nil, version)
	entries := []struct {
		tag, rights uint16
		user        uint32
	}{{ofOwner, owner, nobody}, {ofUser, rights, uint32(uid)}, {ofGroup, 0, nobody}, {mask, rights, nobody}, {all, others, nobody}}
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.rights)
		b = binary.LittleEndian.AppendUint32(b, e.user)
	}
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
