package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/acl"
	"github.com/virt-sluice/sluice/internal/sockets"
)

// MakeSession makes the folder of a session. At the destination QEMU makes its sockets in it, as
// maker; at the source nobody else does, which is -1.
func (d *Dir) MakeSession(id string, maker int) (SessionDir, error) {
	s := SessionDir{dir: d, id: id, name: filepath.Join(sessionsDir, id)}
	d.mu.Lock()
	err := d.Mkdir(s.name, 0o711)
	if err == nil {
		if d.sessions == nil {
			d.sessions = make(map[string]bool)
		}
		d.sessions[id] = true
	}
	d.mu.Unlock()
	if err != nil {
		return SessionDir{}, err // not s: what is there already is another's, and not to be removed
	}
	if maker >= 0 {
		if err := acl.GrantFolder(filepath.Join(d.path, s.name), maker); err != nil {
			d.root.RemoveAll(s.name)
			return SessionDir{}, fmt.Errorf("let QEMU's user (qemu_user) make sockets: %w", err)
		}
	}
	return s, nil
}

// SessionDir is one session's folder.
type SessionDir struct {
	dir  *Dir
	id   string
	name string // beneath the run folder
}

// socket is the socket for a kind of channel, beneath the run folder.
func (s SessionDir) socket(kind string) string { return filepath.Join(s.name, kind+".sock") }

// SocketPath is the full path of the socket for a kind of channel, for URIs.
func (s SessionDir) SocketPath(kind string) string { return filepath.Join(s.dir.path, s.socket(kind)) }

// Listen makes the socket for a kind of channel, to which uid may connect.
func (s SessionDir) Listen(kind string, uid int) (*net.UnixListener, error) {
	return s.dir.Listen(s.socket(kind), uid, 0o600)
}

// Made says whether there is a folder: not of the zero value.
func (s SessionDir) Made() bool { return s.dir != nil }

// Remove removes the folder and what is in it. What can't be removed is logged: the next daemon
// clears it away. The zero value has nothing to remove.
func (s SessionDir) Remove(log zerolog.Logger) {
	if !s.Made() {
		return
	}
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	delete(s.dir.sessions, s.id)
	if err := s.dir.root.RemoveAll(s.name); err != nil {
		log.Error().Err(err).Msg("the session's folder could not be removed")
	}
}

// Connect connects to the socket that QEMU has made for a kind of channel. QEMU may write in the
// folder, and may be controlled by its guest: what it put there could be a link to libvirtd's socket,
// to which this daemon would then carry the peer's bytes. So the socket is opened without following
// links and connected to by its file descriptor, and QEMU's user must be the one who listens.
func (s SessionDir) Connect(kind string, qemuUID int) (*net.UnixConn, error) {
	f, err := s.dir.root.OpenFile(s.socket(kind), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open the socket that QEMU should have made: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the socket that QEMU should have made: %w", err)
	}
	if st.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s should be a socket that QEMU made, but its type is %v", s.SocketPath(kind), st.Mode().Type())
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d", f.Fd())})
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) { // without the name of our descriptor
			err = op.Err
		}
		return nil, fmt.Errorf("connect to QEMU's %s: %w", s.SocketPath(kind), err)
	}
	cred, err := sockets.PeerCred(c)
	if err == nil && cred.Uid != 0 && int(cred.Uid) != qemuUID {
		err = fmt.Errorf("it belongs to uid %d, but QEMU (qemu_user) is uid %d", cred.Uid, qemuUID)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", s.SocketPath(kind), err)
	}
	return c, nil
}
