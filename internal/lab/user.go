package lab

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// qemuUser is whom the hosts' libvirtd runs QEMU as: the default of Debian's libvirt, whose package
// makes the user.
const qemuUser = "libvirt-qemu"

// QEMUUser returns the user and primary group of the hosts' QEMU processes.
func QEMUUser() (uid, gid int, err error) {
	u, err := user.Lookup(qemuUser)
	if err != nil {
		return 0, 0, fmt.Errorf("whom libvirt runs QEMU as: %w", err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, fmt.Errorf("uid of %s: %w", qemuUser, err)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, 0, fmt.Errorf("gid of %s: %w", qemuUser, err)
	}
	return uid, gid, nil
}

// GiveToQEMU makes QEMU's user the owner of files, given by their paths on the machine
// ([Host.Path]): the keys of its own TLS, for one, which it reads itself.
func GiveToQEMU(paths ...string) error {
	uid, gid, err := QEMUUser()
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := os.Chown(p, uid, gid); err != nil {
			return err
		}
	}
	return nil
}
