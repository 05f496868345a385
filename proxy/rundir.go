package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Names within the run folder.
const (
	controlSocket = "control.sock"
	libvirtSocket = "libvirt.sock"
	memorySocket  = "memory.sock"
	diskSocket    = "disk.sock"
	peersDir      = "peers"
	sessionsDir   = "sessions"
	tunnelsDir    = "tunnels"
)

// runDir is the folder of this daemon's sockets. All changes are made beneath
// it without following a link that leads out of it.
//
//	control.sock             for sluice's own command line
//	peers/NAME/libvirt.sock  for libvirt clients of a peer
//	sessions/ID/*.sock       for QEMU, as long as the session
//	tunnels/                 for what the configuration has tunnels listen at
type runDir struct {
	path string
	root *os.Root
	lock *os.File // the folder itself; one daemon at a time
}

// openRunDir makes the folder if need be, takes it for this daemon, and clears
// away what one that was killed has left.
func openRunDir(path string) (*runDir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("make the run folder (run_dir): %w", err)
	}
	lock, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the run folder (run_dir): %w", err)
	}
	d := &runDir{path: path, lock: lock}
	if err := d.take(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *runDir) take() error {
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
	for _, name := range []string{peersDir, sessionsDir, tunnelsDir, controlSocket} {
		if err := d.root.RemoveAll(name); err != nil {
			return fmt.Errorf("clear what an earlier sluice left in the run folder: %w", err)
		}
	}
	for _, name := range []string{peersDir, sessionsDir, tunnelsDir} {
		if err := d.mkdir(name, 0o711); err != nil {
			return err
		}
	}
	return nil
}

// close removes everything in the folder. The sockets' listeners have been
// closed.
func (d *runDir) close() {
	for _, name := range []string{peersDir, sessionsDir, tunnelsDir, controlSocket} {
		d.root.RemoveAll(name)
	}
	d.root.Close()
	d.lock.Close()
}

// mkdir makes a folder with the given mode, whatever the umask.
func (d *runDir) mkdir(name string, mode fs.FileMode) error {
	if err := d.root.Mkdir(name, 0o700); err != nil {
		return fmt.Errorf("make a folder in %s: %w", d.path, err)
	}
	if err := d.root.Chmod(name, mode); err != nil {
		return fmt.Errorf("make a folder in %s: %w", d.path, err)
	}
	return nil
}

// listen makes a socket with the given owner and mode. Its folder is writable
// by this daemon alone, so the path can't lead elsewhere.
func (d *runDir) listen(name string, uid int, mode fs.FileMode) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(d.path, name)})
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	err = d.root.Lchown(name, uid, -1)
	if err == nil {
		err = d.root.Chmod(name, mode)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("make a socket in %s: %w", d.path, err)
	}
	return l, nil
}

// sessionDir makes the folder of a session. At the destination QEMU makes its
// sockets in it, so there it is QEMU's; at the source it stays ours.
func (d *runDir) sessionDir(id string, owner int) (sessionDir, error) {
	s := sessionDir{runDir: d, name: filepath.Join(sessionsDir, id)}
	if err := d.mkdir(s.name, 0o711); err != nil {
		return sessionDir{}, err // not s: what is there already is another's, and not to be removed
	}
	if owner != os.Geteuid() {
		if err := d.root.Lchown(s.name, owner, -1); err != nil {
			s.remove()
			return sessionDir{}, fmt.Errorf("give a session's folder to QEMU's user (qemu_user): %w", err)
		}
	}
	return s, nil
}

// sessionDir is one session's folder.
type sessionDir struct {
	*runDir
	name string // beneath the run folder
}

// socketPath is the full path of a socket in the folder, for URIs.
func (s sessionDir) socketPath(socket string) string { return filepath.Join(s.path, s.name, socket) }

func (s sessionDir) listen(socket string, uid int) (*net.UnixListener, error) {
	return s.runDir.listen(filepath.Join(s.name, socket), uid, 0o600)
}

func (s sessionDir) remove() error { return s.root.RemoveAll(s.name) }

// connect connects to a socket that QEMU has made. The folder is QEMU's, and
// QEMU may be in the hands of its guest: what it put there could be a link to
// libvirtd's socket, to which this daemon would then carry the peer's bytes.
// So the socket is opened without following links, and connected to by its
// file descriptor; and who listens must be QEMU's user.
func (s sessionDir) connect(socket string, qemuUID int) (*net.UnixConn, error) {
	f, err := s.root.OpenFile(filepath.Join(s.name, socket), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open the socket that QEMU was to make: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the socket that QEMU was to make: %w", err)
	}
	if st.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is not the socket that QEMU was to make, but %v", s.socketPath(socket), st.Mode().Type())
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d", f.Fd())})
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) { // without the name of our descriptor
			err = op.Err
		}
		return nil, fmt.Errorf("connect to QEMU's %s: %w", s.socketPath(socket), err)
	}
	cred, err := peerCred(c)
	if err == nil && cred.Uid != 0 && int(cred.Uid) != qemuUID {
		err = fmt.Errorf("it belongs to uid %d, where QEMU (qemu_user) is uid %d", cred.Uid, qemuUID)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", s.socketPath(socket), err)
	}
	return c, nil
}

// peerCred is who is at the other end of a unix socket: who connected, or who
// listens.
func peerCred(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, os.NewSyscallError("getsockopt SO_PEERCRED", sockErr)
}
