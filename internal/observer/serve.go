package observer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/virt-sluice/sluice/internal/sockets"
)

// question is one of the daemon's: a process and a socket's inode, or the latter alone, or a path, or
// an image, or a user.
type question struct {
	PID   int    `json:"pid,omitempty"`
	Inode string `json:"inode,omitempty"`
	Path  string `json:"path,omitempty"`
	Image bool   `json:"image,omitempty"` // the path is an image's, whose header is to be looked at
	UID   *int   `json:"uid,omitempty"`   // may it look at this user's processes?
}

// answer is to one question.
type answer struct {
	PID      int    `json:"pid,omitempty"`       // that has the socket
	Has      bool   `json:"has,omitempty"`       // the process has the socket; this one has the right
	Target   string `json:"target,omitempty"`    // of the path, all links followed
	DataFile *bool  `json:"data_file,omitempty"` // the image has its data in another one

	Errno syscall.Errno `json:"errno,omitempty"` // why there is neither, if the kernel said so
	Error string        `json:"error,omitempty"` // and in words
}

// maxPacket is the longest question or answer, in bytes: a path of PATH_MAX, each byte escaped.
const maxPacket = 32 << 10

// Serve answers the questions that come by a unixpacket connection, one packet each, until it ends.
func Serve(c *net.UnixConn) error {
	buf := make([]byte, maxPacket)
	for {
		n, err := c.Read(buf)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var q question
		if err := json.Unmarshal(buf[:n], &q); err != nil {
			return fmt.Errorf("a question that is none: %w", err)
		}
		packet, err := json.Marshal(q.answer())
		if err != nil {
			return err
		}
		if _, err := c.Write(packet); err != nil {
			return err
		}
	}
}

func (q question) answer() (a answer) {
	var err error
	switch {
	case q.UID != nil:
		a.Has, err = sees(*q.UID)
	case q.Image:
		var has bool
		has, err = hasDataFile(q.Path)
		a.DataFile = &has
	case q.Path != "":
		a.Target, err = resolve(q.Path)
	case q.PID == 0:
		a.PID, err = sockets.Process(q.Inode)
	default:
		a.Has, err = hasSocket(q.PID, q.Inode)
	}
	if err != nil {
		a.Error = err.Error()
		errors.As(err, &a.Errno)
	}
	return a
}

func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if to, linkErr := os.Readlink(path); linkErr == nil {
			err = fmt.Errorf("%s is a link to %s, which leads to nothing", path, to)
		}
	}
	return target, err
}

func hasSocket(pid int, inode string) (bool, error) {
	own, err := sockets.Inodes(strconv.Itoa(pid))
	return own[inode], err
}

// sees says whether this process may look at what those of a user have open (ptrace(2), "Ptrace
// access mode checking").
func sees(uid int) (bool, error) {
	if uid == os.Geteuid() {
		return true, nil
	}
	return cap.GetProc().GetFlag(cap.Effective, cap.SYS_PTRACE)
}

// Inherited is the connection that a process is started with: as standard input by Start, and by
// systemd.
func Inherited() (*net.UnixConn, error) {
	c, err := net.FileConn(os.Stdin)
	if err != nil {
		return nil, fmt.Errorf("standard input is no connection of a daemon's: %w", err)
	}
	u, is := c.(*net.UnixConn)
	if !is {
		c.Close()
		return nil, errors.New("standard input is no unix socket")
	}
	return u, nil
}
