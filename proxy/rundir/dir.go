package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/acl"
)

// Names within the folder.
const (
	ControlSocket = "control.sock"
	LibvirtSocket = "libvirt.sock"
	WebSocket     = "web.sock"
	WebToken      = "web.token"
	PeersDir      = "peers"
	sessionsDir   = "sessions"
	tunnelsDir    = "tunnels"
	// ArrivalsDir holds what is known of guests that came, and outlives the daemon.
	ArrivalsDir = "arrivals"
	// DisksDir holds which disks were made here for guests that come, until it is settled whose they
	// are.
	DisksDir = "disks"
	// departuresDir holds what Keep keeps, of guests that leave.
	departuresDir = "departures"
	// ProcessesDir holds a socket of each process that the folder has, by which the next one finds
	// it.
	ProcessesDir = "processes"
)

// ErrInUse: a daemon has the folder.
var ErrInUse = errors.New("is in use by another sluice")

// Dir is the folder, held by one daemon at a time: one process, or one that follows another which
// still has sessions.
type Dir struct {
	path string
	root *os.Root
	lock *os.File // the folder itself

	claims *os.File // see Claim

	mu       sync.Mutex
	sessions map[string]bool // names of those of this process
	shared   bool            // Close leaves what is there to another process
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

// Follow opens the folder of an earlier process that still lives, by the lock that it has given. What
// is there stays, and is shared.
func Follow(path string, lock *os.File) (*Dir, error) {
	d := &Dir{path: path, lock: lock, shared: true}
	var err error
	if d.root, err = os.OpenRoot(path); err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	return d, d.makeFolders()
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
		if err != unix.EWOULDBLOCK { // such as a profile that does not allow it
			return fmt.Errorf("run folder: %w", &os.PathError{Op: "flock", Path: d.path, Err: err})
		}
		return fmt.Errorf("run folder %s (run_dir) %w: stop that one first, or give this one a folder of its own", d.path, ErrInUse)
	}
	if d.root, err = os.OpenRoot(d.path); err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	for _, name := range passing {
		if err := d.root.RemoveAll(name); err != nil {
			return fmt.Errorf("clear what an earlier sluice left in the run folder: %w", err)
		}
	}
	for _, folder := range []string{".", ArrivalsDir, DisksDir, departuresDir} {
		left, _ := fs.Glob(d.root.FS(), filepath.Join(folder, "*"+newSuffix))
		for _, name := range left { // the daemon was killed before they were whole
			d.root.Remove(name)
		}
	}
	return d.makeFolders()
}

// newSuffix is of a file that is being written.
const newSuffix = ".new"

// passing are what goes with the daemon.
var passing = []string{PeersDir, sessionsDir, tunnelsDir, ControlSocket, WebSocket, WebToken, ProcessesDir, claimsFile}

func (d *Dir) makeFolders() error {
	for name, mode := range map[string]fs.FileMode{
		PeersDir: 0o711, sessionsDir: 0o711, tunnelsDir: 0o711,
		ProcessesDir: 0o700, ArrivalsDir: 0o700, DisksDir: 0o700, departuresDir: 0o700,
	} {
		if err := d.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	var err error
	if d.claims, err = d.root.OpenFile(claimsFile, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("make a file in the run folder: %w", err)
	}
	return nil
}

// Journal is the path of a folder that outlives the daemon.
func (d *Dir) Journal(name string) string { return filepath.Join(d.path, name) }

// Lock is what Follow takes. It stays the folder's.
func (d *Dir) Lock() *os.File { return d.lock }

// Path is the full path of a name in the folder.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Share says whether what is there is another process's as well, to which Close leaves it.
func (d *Dir) Share(shared bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shared = shared
}

// SweepSessions removes the folders of sessions that are not this process's.
func (d *Dir) SweepSessions() error {
	d.mu.Lock() // no session's folder is made meanwhile
	defer d.mu.Unlock()
	return d.sweep(sessionsDir, func(name string) bool { return d.sessions[name] })
}

// Peers are those that have a folder.
func (d *Dir) Peers() (names []string) {
	entries, _ := fs.ReadDir(d.root.FS(), PeersDir) // it has just been made, if it was not there
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// SweepPeers removes the folders of all other peers.
func (d *Dir) SweepPeers(is func(string) bool) error { return d.sweep(PeersDir, is) }

// SweepProcesses removes the sockets of all other processes.
func (d *Dir) SweepProcesses(is func(string) bool) error { return d.sweep(ProcessesDir, is) }

func (d *Dir) sweep(folder string, keep func(string) bool) error {
	entries, err := fs.ReadDir(d.root.FS(), folder)
	errs := []error{err}
	for _, e := range entries {
		if !keep(e.Name()) {
			errs = append(errs, d.root.RemoveAll(filepath.Join(folder, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// Close removes everything in the folder but the journals. The sockets' listeners have been closed.
func (d *Dir) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shared {
		for _, name := range passing {
			d.root.RemoveAll(name)
		}
	}
	d.claims.Close()
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

// Symlink makes a symbolic link to target, from its folder on, in place of what is there.
func (d *Dir) Symlink(target, name string) error {
	if was, err := d.root.Readlink(name); err == nil && was == target {
		return nil
	}
	err := d.root.RemoveAll(name)
	if err == nil {
		err = d.root.Symlink(target, name)
	}
	if err != nil {
		return fmt.Errorf("make a link in %s: %w", d.path, err)
	}
	return nil
}

// chmod goes by the path, which can't lead elsewhere, as nobody else may write in the folder: os.Root
// would use fchmodat2, which a systemd of before it does not let through (SystemCallFilter).
func (d *Dir) chmod(name string, mode fs.FileMode) error {
	return os.Chmod(filepath.Join(d.path, name), mode)
}

// Remove removes a socket, or a folder in which nothing is left, unless it is another process's as
// well.
func (d *Dir) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared {
		return nil
	}
	return d.root.Remove(name)
}

// Unlink removes a symbolic link, if that is what has the name.
func (d *Dir) Unlink(name string) {
	if _, err := d.root.Readlink(name); err == nil {
		d.root.Remove(name)
	}
}

// Listen makes a socket with the given mode, to which a further user may connect unless uid is below
// 0. Its folder is writable by this daemon alone, so the path can't lead elsewhere.
func (d *Dir) Listen(name string, uid int, mode fs.FileMode) (*net.UnixListener, error) {
	return d.listen("unix", name, uid, mode)
}

// ListenPackets is Listen for a socket that keeps the bounds of what is written to it.
func (d *Dir) ListenPackets(name string, uid int, mode fs.FileMode) (*net.UnixListener, error) {
	return d.listen("unixpacket", name, uid, mode)
}

func (d *Dir) listen(network, name string, uid int, mode fs.FileMode) (*net.UnixListener, error) {
	d.root.Remove(name) // of a process that was killed
	path := filepath.Join(d.path, name)
	l, err := net.ListenUnix(network, &net.UnixAddr{Net: network, Name: path})
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
