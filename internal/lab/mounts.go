package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// readyReport is what a host's pid 1 writes once its file system stands; anything else is an error
// in words.
const readyReport = "ready"

// privateFolders are the ones in which a host sees its own, empty at first. They have to be there
// on the machine, but for those within layeredFolders, where a host can make its own.
func privateFolders() []string {
	return []string{
		"/run",
		"/etc/libvirt", "/etc/pki", "/etc/sluice",
		"/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt", "/var/lib/sluice",
	}
}

// layeredFolders are those of the machine that are writable for each host alone. In the last two
// libvirt and swtpm keep logs of vTPMs, and the authority that signs their certificates.
var layeredFolders = []string{"/etc", "/var/log", "/var/lib"}

// setUpHost gives the calling process's mount and uts namespaces a host's view, of the file system
// in root, or of the machine's if that is empty.
func setUpHost(host, root string) error {
	if err := unix.Sethostname([]byte(host)); err != nil {
		return fmt.Errorf("set host name: %w", os.NewSyscallError("sethostname", err))
	}
	// Slave, not private: what the machine unmounts later must not stay pinned here.
	if err := mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if root != "" {
		if err := changeRoot(root); err != nil {
			return err
		}
	}
	if err := mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	// A fresh sysfs shows this network namespace's links, and hides the machine's cgroups from
	// libvirt.
	if err := mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if root == "" { // else all of it is the host's own
		for _, folder := range layeredFolders {
			if _, err := os.Stat(folder); err != nil {
				continue // no vTPM is installed
			}
			if err := mountLayer(folder, folder); err != nil {
				return err
			}
		}
	}
	for _, folder := range privateFolders() {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("%w (is libvirt installed?)", err)
		}
	}
	for _, folder := range []string{"/run/lock", "/run/sluice", "/var/lib/libvirt/images", "/var/log/libvirt/qemu", "/etc/pki/qemu", "/etc/pki/libvirt/private"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := hideKVM(); err != nil {
		return err
	}
	return hideEmulators()
}

// hideKVM makes a host one without KVM, which its guests do not use. Where QEMU finds a KVM that
// its user may not open, such as a /dev/kvm of root's alone, libvirt takes what it knows of QEMU
// for outdated, and asks again at each of several steps of a guest's start (virQEMUCapsIsValid).
func hideKVM() error {
	const kvm, closed = "/dev/kvm", "/run/kvm"
	if _, err := os.Stat(kvm); err != nil {
		return nil
	}
	if err := os.WriteFile(closed, nil, 0); err != nil {
		return err
	}
	if err := mount(closed, kvm, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return os.Remove(closed)
}

// hideEmulators leaves libvirtd one QEMU to find. Before it starts its first guest it runs each one
// that is installed, which takes the better part of a second for each of what can be thirty
// architectures.
func hideEmulators() error {
	programs, err := filepath.Glob("/usr/bin/qemu-system-*")
	if err != nil {
		return err
	}
	for _, program := range programs {
		if target, err := filepath.EvalSymlinks(program); err != nil || filepath.Base(target) == qemuProgram {
			continue // since Debian 13 the one has a second name
		}
		// Not executable, so not an emulator to libvirt (virFindFileInPath).
		if err := mount("/dev/null", program, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// mountLayer shows a folder at target, or several that are joined as in PATH, the first of them on
// top, writable for this host alone. The layer's two folders lie in a tmpfs that is unmounted at
// once: the overlay keeps its own hold on it.
func mountLayer(folders, target string) error {
	const layer = "/run"
	if err := mount("tmpfs", layer, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	for _, folder := range []string{layer + "/upper", layer + "/work"} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
	}
	// The layer's owner and mode are those that show.
	var st unix.Stat_t
	top := filepath.SplitList(folders)[0]
	if err := unix.Stat(top, &st); err != nil {
		return &os.PathError{Op: "stat", Path: top, Err: err}
	}
	if err := os.Chown(layer+"/upper", int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(layer+"/upper", st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: layer + "/upper", Err: err}
	}
	if err := mount("overlay", target, "overlay", 0, "lowerdir="+folders+",upperdir="+layer+"/upper,workdir="+layer+"/work"); err != nil {
		return fmt.Errorf("%w (does this kernel have overlayfs?)", err)
	}
	if err := unix.Unmount(layer, unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "umount", Path: layer, Err: err}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s: %w", source, &os.PathError{Op: "mount", Path: target, Err: err})
	}
	return nil
}
