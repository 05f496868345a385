package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/acl"
)

// Names within the folder.
const (
	ControlSocket = "control.sock"
	LibvirtSocket = "libvirt.sock"
	PeersDir      = "peers"
	sessionsDir   = "sessions"
	tunnelsDir    = "tunnels"
	// ArrivalsDir holds what is known of guests that came, and outlives the daemon.
	ArrivalsDir = "arrivals"
	// departuresDir holds what Keep keeps, of guests that leave.
	departuresDir = "departures"
)

// Dir is the folder, held by one daemon at a time.
type Dir struct {
	path string
	root *os.Root
	lock *os.File // the folder itself
}

// Open makes the folder if need be, takes it for this daemon, and clears
// away what one that was killed has left.
func Open(path string) (*Dir, error) {
	if err := Make(path); err != nil {
		return nil, err
	}
	lock, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the run folder (run_dir): %w", err)
	}
	d := &Dir{path: path, lock: lock}
	if err := d.take(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

// Make makes the folder if need be, so that QEMU can get through, whatever the umask.
func Make(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	err := os.MkdirAll(path, 0o755)
	if err == nil {
		err = os.Chmod(path, 0o755)
	}
	if err != nil {
		return fmt.Errorf("make the run folder (run_dir): %w", err)
	}
	return nil
}

func (d *Dir) take() error {
	st, err := d.lock.Stat()
	if err != nil {
		return fmt.Errorf("run folder %s: %w", d.path, err)
	}
	if sys := st.Sys().(*syscall.Stat_t); int(sys.Uid) != os.Geteuid() || st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("run folder %s (run_dir) belongs to uid %d with mode %v: others could replace its sockets; it must belong to uid %d and be writable by it alone",
			d.path, sys.Uid, st.Mode().Perm(), os.Geteuid())
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("run folder %s (run_dir) is in use by another sluice: stop that one first, or give this one a folder of its own", d.path)
	}
	if d.root, err = os.OpenRoot(d.path); err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	for _, name := range []string{PeersDir, sessionsDir, tunnelsDir, ControlSocket} {
		if err := d.root.RemoveAll(name); err != nil {
			return fmt.Errorf("clear what an earlier sluice left in the run folder: %w", err)
		}
	}
	for _, name := range []string{PeersDir, sessionsDir, tunnelsDir} {
		if err := d.Mkdir(name, 0o711); err != nil {
			return err
		}
	}
	for _, name := range journals {
		if err := d.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// journals are the folders that outlive the daemon, for the next one to read.
var journals = []string{ArrivalsDir, departuresDir}

// Journal is the path of a folder that outlives the daemon.
func (d *Dir) Journal(name string) string { return filepath.Join(d.path, name) }

// Close removes everything in the folder but the journals. The sockets' listeners have been closed.
func (d *Dir) Close() {
	for _, name := range []string{PeersDir, sessionsDir, tunnelsDir, ControlSocket} {
		d.root.RemoveAll(name)
	}
	d.root.Close()
	d.lock.Close()
}

// Mkdir makes a folder with the given mode, whatever the umask.
func (d *Dir) Mkdir(name string, mode fs.FileMode) error {
	if err := d.root.Mkdir(name, 0o700); err != nil {
		return fmt.Errorf("make a folder in %s: %w", d.path, err)
	}
	if err := d.chmod(name, mode); err != nil {
		return fmt.Errorf("make a folder in %s: %w", d.path, err)
	}
	return nil
}

// Symlink makes a symbolic link to target, from its folder on.
func (d *Dir) Symlink(target, name string) error {
	if err := d.root.Symlink(target, name); err != nil {
		return fmt.Errorf("make a link in %s: %w", d.path, err)
	}
	return nil
}

// chmod goes by the path, which can't lead elsewhere, as nobody else may write in the folder: os.Root
// would use fchmodat2, which a systemd of before it does not let through (SystemCallFilter).
func (d *Dir) chmod(name string, mode fs.FileMode) error {
	return os.Chmod(filepath.Join(d.path, name), mode)
}

// Remove removes a folder and what is in it.
func (d *Dir) Remove(name string) error { return d.root.RemoveAll(name) }

// Listen makes a socket with the given mode, to which a further user may connect, if uid is none
// below 0. Its folder is writable by this daemon alone, so the path can't lead elsewhere.
func (d *Dir) Listen(name string, uid int, mode fs.FileMode) (*net.UnixListener, error) {
	path := filepath.Join(d.path, name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	err = d.chmod(name, mode)
	if err == nil && uid >= 0 {
		err = acl.Grant(path, uid, acl.Read|acl.Write)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("make a socket in %s: %w", d.path, err)
	}
	return l, nil
}
