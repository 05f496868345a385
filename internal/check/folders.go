package check

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// folders looks at the run folder: that no one else can write there, and that
// QEMU can get through to its sockets.
func (h *Host) folders(l *control.Findings) {
	const folder = "run folder"
	dir := h.Config.RunDir
	uid, gid, err := h.Config.QEMU()
	if err != nil {
		l.Fail(folder, "qemu-user", "set qemu_user to the user that libvirt runs QEMU as", "%v", err)
		return
	}
	st, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir = filepath.Dir(dir)
		if _, err := os.Stat(dir); err != nil {
			l.Fail(folder, "no-folder", "make it, or set run_dir", "%v", err)
			return
		}
	case err != nil:
		l.Fail(folder, "no-folder", "set run_dir to a folder that sluice may make", "%v", err)
		return
	case !st.IsDir():
		l.Fail(folder, "no-folder", "remove it, or set run_dir", "%s is no folder", dir)
		return
	default:
		if sys := st.Sys().(*syscall.Stat_t); st.Mode().Perm()&0o022 != 0 || int(sys.Uid) != os.Geteuid() && h.Listening != "" {
			l.Fail(folder, "folder-rights", "chown root "+dir+" && chmod go-w "+dir, "%s belongs to uid %d with mode %v: others could replace its sockets", dir, sys.Uid, st.Mode().Perm())
			return
		}
	}
	for d := dir; ; d = filepath.Dir(d) {
		if st, err := os.Stat(d); err == nil && !passes(st, uid, gid) {
			l.Fail(folder, "qemu-cannot-enter", "chmod o+x "+d, "QEMU's user (uid %d) can't get through %s (mode %v) to its sockets in %s", uid, d, st.Mode().Perm(), h.Config.RunDir)
			return
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if h.Listening != "" && !h.sockets(l) {
		return
	}
	if dir != h.Config.RunDir {
		l.OK(folder, "%s will be made; QEMU's user (uid %d) can get there", h.Config.RunDir, uid)
		return
	}
	l.OK(folder, "%s is sluice's alone; QEMU's user (uid %d) can get through to its sockets", dir, uid)
}

// sockets looks whether those that the daemon has made are still there.
func (h *Host) sockets(l *control.Findings) bool {
	paths := []string{filepath.Join(h.Config.RunDir, "control.sock")}
	for name := range h.Config.Peers {
		paths = append(paths, filepath.Join(h.Config.RunDir, "peers", name, "libvirt.sock"))
	}
	for _, path := range paths {
		if st, err := os.Lstat(path); err != nil || st.Mode().Type() != fs.ModeSocket {
			l.Fail("sockets", "socket-gone", "restart sluice; find out what clears "+h.Config.RunDir, "the daemon's socket %s is gone, though the daemon runs", path)
			return false
		}
	}
	l.OK("sockets", "%d, under %s", len(paths), h.Config.RunDir)
	return true
}

// passes says whether a user may search a folder.
func passes(st fs.FileInfo, uid, gid int) bool {
	sys, mode := st.Sys().(*syscall.Stat_t), st.Mode().Perm()
	switch {
	case uid == 0:
		return true
	case int(sys.Uid) == uid:
		return mode&0o100 != 0
	case int(sys.Gid) == gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// runs says whether a daemon answers in a run folder.
func runs(dir string) bool {
	c, err := net.DialTimeout("unix", filepath.Join(dir, "control.sock"), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
