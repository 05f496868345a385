package observer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/sockets"
)

// Socket is where systemd starts observers.
const Socket = "/run/sluice-observer.sock"

// Observer is the daemon's end. nil looks at everything itself.
type Observer struct {
	Unit bool // systemd starts it, again when it has ended

	mu      sync.Mutex
	conn    *net.UnixConn // nil: it has ended
	process *exec.Cmd     // nil: systemd's
	reaped  chan struct{}
}

// Start connects to systemd's, or starts a child with the rights of this process.
func Start() (*Observer, error) {
	o := new(Observer)
	switch err := o.connect(); {
	case err == nil:
		o.Unit = true
		return o, nil
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.ECONNREFUSED):
		return nil, err // else the unit is not there, is not for this user, or was stopped
	}
	if err := o.spawn(); err != nil {
		return nil, fmt.Errorf("start the observer: %w", err)
	}
	return o, nil
}

func (o *Observer) connect() (err error) {
	o.conn, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: Socket})
	if err != nil {
		return fmt.Errorf("connect to the observer: %w", err)
	}
	return nil
}

func (o *Observer) spawn() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	near, far := os.NewFile(uintptr(pair[0]), "observer"), os.NewFile(uintptr(pair[1]), "daemon")
	defer near.Close()
	defer far.Close()
	c, err := net.FileConn(near)
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"sluice", "observe"}, Dir: "/",
		Env:   []string{}, // systemd's variables are for the daemon alone
		Stdin: far, Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true}, // no terminal's Ctrl-C is for it
	}
	if err := cmd.Start(); err != nil {
		c.Close()
		return err
	}
	o.conn, o.process, o.reaped = c.(*net.UnixConn), cmd, make(chan struct{})
	go func() {
		defer close(o.reaped)
		cmd.Wait()
	}()
	return nil
}

// Close ends the observer.
func (o *Observer) Close() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != nil {
		o.conn.Close()
	}
	if o.process != nil {
		<-o.reaped
	}
}

// HasSocket says whether a process has the socket with an inode.
func (o *Observer) HasSocket(pid int, inode string) (bool, error) {
	if o == nil {
		return hasSocket(pid, inode)
	}
	a, err := o.ask(question{PID: pid, Inode: inode})
	return a.Has, err
}

// Process is a process that has the socket with an inode.
func (o *Observer) Process(inode string) (pid int, err error) {
	if o == nil {
		return sockets.Process(inode)
	}
	a, err := o.ask(question{Inode: inode})
	return a.PID, err
}

// Sees says whether HasSocket can answer for a user's processes.
func (o *Observer) Sees(uid int) (bool, error) {
	if o == nil {
		return sees(uid)
	}
	a, err := o.ask(question{UID: &uid})
	return a.Has, err
}

// Resolve is filepath.EvalSymlinks, also of what lies in others' folders. A link that leads to
// nothing is another error than a path of nothing, where something new can be made that is no link's.
func (o *Observer) Resolve(path string) (string, error) {
	target, err := resolve(path)
	if o == nil || !errors.Is(err, fs.ErrPermission) {
		return target, err
	}
	a, err := o.ask(question{Path: path})
	return a.Target, err
}

// HasDataFile says whether a file is a qcow2 image that has its data in another file, which QEMU opens
// by the image's header.
func (o *Observer) HasDataFile(path string) (bool, error) {
	has, err := hasDataFile(path)
	if o == nil || !errors.Is(err, fs.ErrPermission) {
		return has, err
	}
	a, err := o.ask(question{Path: path, Image: true})
	if err == nil && a.DataFile == nil {
		err = errors.New("the observer is older than this process: restart sluice")
	}
	return err == nil && *a.DataFile, err
}

// patience is for an answer, which takes reading a folder or two.
const patience = 10 * time.Second

// errEnded is of a child that can't be started again, since this process has no more rights to give.
var errEnded = errors.New("the observer has ended: restart sluice")

func (o *Observer) ask(q question) (a answer, err error) {
	packet, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	// systemd's may have ended since the last question.
	if a, err = o.exchange(packet); err != nil && o.Unit {
		if err = o.connect(); err == nil {
			a, err = o.exchange(packet)
		}
	}
	switch {
	case err != nil:
		return answer{}, err
	case a.Error != "":
		return answer{}, &toldError{a.Error, a.Errno}
	}
	return a, nil
}

// toldError is one that the observer had, with what the kernel said for errors.Is.
type toldError struct {
	text  string
	errno syscall.Errno
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.errno }

// exchange asks once. After an error the connection is closed: an answer that comes late would be
// taken for the next one's.
func (o *Observer) exchange(packet []byte) (a answer, err error) {
	if o.conn == nil {
		return a, errEnded
	}
	defer func() {
		if err != nil {
			o.conn.Close()
			o.conn = nil
			err = fmt.Errorf("ask the observer: %w", err)
		}
	}()
	if err := o.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return a, err
	}
	if _, err := o.conn.Write(packet); err != nil {
		return a, err
	}
	buf := make([]byte, maxPacket)
	n, err := o.conn.Read(buf)
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(buf[:n], &a)
}
