package config

import (
	"errors"
	"fmt"
	"math"
	"os/user"
	"slices"
	"strconv"
)

// qemuUsers are whom distributions run QEMU as: Debian and its kin, Fedora and
// its kin, and hosts that run it as root.
var qemuUsers = []string{"libvirt-qemu", "qemu", "root"}

func (c *checker) users(cfg *Config) {
	for _, u := range cfg.Users {
		if _, err := lookup(u); err != nil {
			c.fault("users", "%v", err)
		}
	}
	if cfg.QEMUUser == "" {
		cfg.QEMUUser = firstUser(qemuUsers)
	}
	if _, err := lookup(cfg.QEMUUser); err != nil {
		c.fault("qemu_user", "%v; it must be `user` in /etc/libvirt/qemu.conf", err)
	}
}

// UIDs are the users whose processes may use the local sockets, sorted. Root
// is always one of them: libvirtd, which connects to them, runs as root.
func (c *Config) UIDs() ([]uint32, error) {
	uids := []uint32{0}
	for _, u := range c.Users {
		id, err := lookup(u)
		if err != nil {
			return nil, fmt.Errorf("users: %w", err)
		}
		uids = append(uids, id.uid)
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

// QEMU is the user and the group that own the sockets made for QEMU. The group
// is the user's primary one; for a number that is no user's, the same number.
func (c *Config) QEMU() (uid, gid int, err error) {
	name := c.QEMUUser
	if name == "" {
		name = firstUser(qemuUsers)
	}
	id, err := lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("qemu_user: %w", err)
	}
	return int(id.uid), int(id.gid), nil
}

func firstUser(names []string) string {
	for _, n := range names {
		if _, err := lookup(n); err == nil {
			return n
		}
	}
	return "0"
}

type ids struct{ uid, gid uint32 }

// lookup takes a user's name or number.
func lookup(name string) (ids, error) {
	u, err := user.Lookup(name)
	if err != nil {
		n, convErr := strconv.ParseUint(name, 10, 32)
		if convErr != nil || n == math.MaxUint32 { // -1 means "no user" to the kernel
			var unknown user.UnknownUserError
			if errors.As(err, &unknown) {
				return ids{}, fmt.Errorf("no user %q in this host's /etc/passwd; write an existing name, or the number of a user from another database", name)
			}
			return ids{}, fmt.Errorf("user %q: %w", name, err)
		}
		u, err = user.LookupId(name)
		if err != nil {
			return ids{uint32(n), uint32(n)}, nil
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return ids{}, fmt.Errorf("user %q: uid %q is not a number", name, u.Uid)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return ids{}, fmt.Errorf("user %q: gid %q is not a number", name, u.Gid)
	}
	return ids{uint32(uid), uint32(gid)}, nil
}
