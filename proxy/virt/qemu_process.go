package virt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/observer"
)

// QEMUProcess is the QEMU of one guest on this host. It is held by a pidfd, so no signal ever
// reaches a process that has the pid of one that ended.
type QEMUProcess struct {
	PID     int
	Started uint64 // clock ticks since the boot; with the pid it names one process until the next boot

	Observer *observer.Observer // looks at its sockets; nil: this process itself

	fd *os.File
}

// pidFileName makes a guest's name what libvirt calls the file by: as if that were XML
// (virPidFileBuildPath).
var pidFileName = strings.NewReplacer("<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "&", "&amp;")

// FindQEMU finds the process of a guest by the file that libvirt keeps in folder
// (/run/libvirt/qemu), and makes sure that it is that guest's, and one of uid's or root's.
func FindQEMU(folder, guest string, uuid libvirt.UUID, uid int) (*QEMUProcess, error) {
	path := filepath.Join(folder, pidFileName.Replace(guest)+".pid")
	if filepath.Dir(path) != filepath.Clean(folder) {
		return nil, fmt.Errorf("%q is no name of a file", guest)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read libvirt's pid file of QEMU (qemu_pids): %w", err)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(raw)))
	if err != nil || pid <= 0 {
		return nil, fmt.Errorf("%s holds %.20q, which is no pid", path, raw)
	}
	return openQEMU(pid, uuid, uid)
}

// ErrQEMUEnded means that a process is not there any more.
var ErrQEMUEnded = errors.New("QEMU has ended")

// ReopenQEMU finds a process that an earlier daemon held. It fails with ErrQEMUEnded once that has
// ended.
func ReopenQEMU(pid int, started uint64, uuid libvirt.UUID, uid int) (*QEMUProcess, error) {
	p, err := openQEMU(pid, uuid, uid)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOther) {
		return nil, ErrQEMUEnded
	}
	if err == nil && p.Started != started {
		p.Close()
		return nil, ErrQEMUEnded
	}
	return p, err
}

// errOther is of a process that is not the guest's QEMU.
var errOther = errors.New("is not the QEMU of this guest")

// openQEMU takes hold of the process first and looks at it then: what /proc says is of the process
// that the pidfd holds if that has not ended afterwards.
func openQEMU(pid int, uuid libvirt.UUID, uid int) (p *QEMUProcess, err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
	}
	p = &QEMUProcess{PID: pid, fd: os.NewFile(uintptr(fd), "pidfd")}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	cmdline, err := os.ReadFile(p.proc("cmdline"))
	if err != nil {
		return p, err
	}
	args := strings.Split(string(cmdline), "\x00")
	if i := slices.Index(args, "-uuid"); i < 0 || i+1 == len(args) || args[i+1] != FormatUUID(uuid) {
		return p, fmt.Errorf("process %d %w (-uuid %s)", pid, errOther, FormatUUID(uuid))
	}
	status, err := p.status("Uid:")
	if err != nil {
		return p, err
	}
	if of, err := strconv.Atoi(status); err != nil || of != 0 && of != uid {
		return p, fmt.Errorf("process %d belongs to uid %s, where QEMU (qemu_user) is uid %d", pid, status, uid)
	}
	if p.Started, err = ProcessStarted(pid); err != nil {
		return p, err
	}
	return p, p.alive()
}

// alive fails once the process has ended. Unlike a signal, it takes no right over the process.
func (p *QEMUProcess) alive() error {
	if p.Ended(0) {
		return ErrQEMUEnded
	}
	return nil
}

// Close lets go of the process, which goes on as it is.
func (p *QEMUProcess) Close() { p.fd.Close() }

// stopTimeout bounds the wait for QEMU's threads to stop: one that the kernel keeps from returning
// to QEMU's own code is as good as stopped, and is not waited for.
const stopTimeout = 2 * time.Second

// Stop stops the process (SIGSTOP), and returns once none of its threads runs any code of QEMU's.
// What is sent to its monitor after that is not executed before Continue.
func (p *QEMUProcess) Stop() error {
	if err := p.signal(unix.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(50 * time.Microsecond) {
		stopped, err := p.Stopped()
		switch {
		case err != nil:
			return err
		case stopped:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("QEMU (process %d) did not stop within %v of SIGSTOP", p.PID, stopTimeout)
		}
	}
}

// Stopped says whether the process is stopped: a thread of it is, and all others are too or can't
// return to QEMU's own code without being. One that waits in the kernel may be in any process.
func (p *QEMUProcess) Stopped() (bool, error) {
	tasks, err := os.ReadDir(p.proc("task"))
	if err != nil {
		return false, p.gone(err)
	}
	one := false
	for _, t := range tasks {
		fields, err := stat(p.proc("task", t.Name(), "stat"))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // the thread has ended
		case err != nil:
			return false, err
		case !strings.Contains("TtDZX", fields[0]): // proc(5)
			return false, nil
		case strings.Contains("Tt", fields[0]):
			one = true
		}
	}
	return one, p.signal(0)
}

// Continue lets a stopped process run (SIGCONT).
func (p *QEMUProcess) Continue() error { return p.signal(unix.SIGCONT) }

// Kill ends the process (SIGKILL), also if it is stopped, and returns once it has ended.
func (p *QEMUProcess) Kill() error {
	if err := p.signal(unix.SIGKILL); err != nil && !errors.Is(err, ErrQEMUEnded) {
		return err
	}
	for deadline := time.Now().Add(killTimeout); !p.Ended(time.Until(deadline)); {
		if time.Now().After(deadline) {
			return fmt.Errorf("QEMU (process %d) has not ended within %v of SIGKILL", p.PID, killTimeout)
		}
	}
	return nil
}

// killTimeout bounds the wait for the end of a process that the kernel keeps in a system call.
const killTimeout = 10 * time.Second

// Ended says whether the process has ended, or does so within most.
func (p *QEMUProcess) Ended(most time.Duration) bool {
	polled := []unix.PollFd{{Fd: int32(p.fd.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(polled, max(0, int(most.Milliseconds())))
	return err == nil && n == 1
}

// Terminating says whether somebody has sent SIGTERM, which waits as long as the process is
// stopped: so does libvirt when the guest is to end.
func (p *QEMUProcess) Terminating() bool {
	for _, field := range []string{"ShdPnd:", "SigPnd:"} {
		set, err := p.status(field)
		if err != nil {
			return false
		}
		if pending, err := strconv.ParseUint(set, 16, 64); err == nil && pending&(1<<(uint(unix.SIGTERM)-1)) != 0 {
			return true
		}
	}
	return false
}

func (p *QEMUProcess) signal(sig unix.Signal) error {
	return p.gone(os.NewSyscallError("pidfd_send_signal", unix.PidfdSendSignal(int(p.fd.Fd()), sig, nil, 0)))
}

// gone turns the errors that mean it into ErrQEMUEnded.
func (p *QEMUProcess) gone(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH), errors.Is(err, fs.ErrNotExist):
		return ErrQEMUEnded
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("signal QEMU (process %d): %w: sluice needs CAP_KILL, or to run as QEMU's user", p.PID, err)
	}
	return fmt.Errorf("QEMU (process %d): %w", p.PID, err)
}

func (p *QEMUProcess) proc(file ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(p.PID)}, file...)...)
}

// status is the first word of a line of /proc/PID/status.
func (p *QEMUProcess) status(field string) (string, error) {
	raw, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field {
			return f[1], nil
		}
	}
	return "", fmt.Errorf("%s has no line %s", p.proc("status"), field)
}

// ProcessStarted is when a process has started, in clock ticks since the boot.
func ProcessStarted(pid int) (uint64, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "stat")
	fields, err := stat(path)
	if err != nil {
		return 0, err
	}
	const starttime = 22 - 3 // proc(5) counts from 1, and stat leaves out the first two
	if len(fields) <= starttime {
		return 0, fmt.Errorf("%s is too short", path)
	}
	return strconv.ParseUint(fields[starttime], 10, 64)
}

// stat is the fields of a stat file behind the name, which may hold anything.
func stat(path string) ([]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) == 0 {
		return nil, fmt.Errorf("%s is not as proc(5) has it", path)
	}
	return fields, nil
}
