package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// changeRoot makes a layer over the folders this process's root, with the machine's /dev and its
// folders for temporary files, where test binaries and what they build lie. Hosts beside it may
// have the same folders: none of them writes to one. The locks on them hold for as long as the host
// stands: package roots removes no root that has one.
func changeRoot(folders string) error {
	const root = "/mnt"
	for _, folder := range filepath.SplitList(folders) {
		held, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: folder, Err: err}
		}
		if err := unix.Flock(held, unix.LOCK_SH); err != nil {
			return os.NewSyscallError("flock", err)
		}
	}
	if err := mountLayer(folders, root); err != nil {
		return err
	}
	for _, shared := range []string{"/dev", "/tmp", os.TempDir()} {
		if _, err := os.Stat(shared); err != nil {
			continue
		}
		at := filepath.Join(root, shared)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := mount(shared, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	// The old root lies over the new one until it is unmounted (pivot_root(2)).
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make %s the root: %w", folders, os.NewSyscallError("pivot_root", err))
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's root: %w", os.NewSyscallError("umount", err))
	}
	return os.Chdir("/")
}
