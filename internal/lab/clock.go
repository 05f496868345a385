package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Clock is the time of day as one process sees it. The kernel has one such clock for all (a time
// namespace has its own monotonic clocks alone), and a static program no library that could be put
// before it. So the process is started without the kernel's vDSO, whose functions need no system
// call: it then asks the kernel, which by a seccomp filter asks another process, and that one adds
// what the clock is ahead. Timers, and all but CLOCK_REALTIME, are as ever.
type Clock struct{ file string }

// NewClock makes a clock that is right. file is made, on the machine.
func NewClock(file string) (*Clock, error) {
	c := &Clock{file: file}
	return c, c.Ahead(0)
}

// Ahead sets by how much the clock is ahead, for those who look from now on.
func (c *Clock) Ahead(d time.Duration) error {
	if err := os.WriteFile(c.file+".new", strconv.AppendInt(nil, int64(d), 10), 0o644); err != nil {
		return err
	}
	return os.Rename(c.file+".new", c.file)
}

// Under has a command that was not started, and whose file is on the machine, go by the clock. Its
// pid stays that of the command.
func (c *Clock) Under(cmd *Cmd) {
	cmd.Args = append([]string{clockName, c.file, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.lookErr = "/proc/self/exe", nil
}

// clockName is argv[0] of a process that becomes one with a clock of its own: after it come the
// clock's file, the program and its arguments. clockServer is that of the process which answers it:
// after it come the file, and the process and its thread that are to be answered.
const (
	clockName   = "sluice-lab-clock"
	clockServer = "sluice-lab-clock-server"
)

func init() {
	var err error
	switch {
	case len(os.Args) >= 3 && os.Args[0] == clockName:
		err = becomeClocked(os.Args[1], os.Args[2], os.Args[3:])
	case len(os.Args) == 4 && os.Args[0] == clockServer:
		err = serveClock(os.Args[1], os.Args[2], os.Args[3])
	default:
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serverFD is where the server finds its end of the pair: the listener comes by it, and then it
// says that it is ready.
const serverFD = 3

func becomeClocked(file, program string, args []string) error {
	runtime.LockOSThread()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	server := exec.Cmd{
		Path: "/proc/self/exe", Args: []string{clockServer, file, strconv.Itoa(os.Getpid()), strconv.Itoa(unix.Gettid())},
		ExtraFiles: []*os.File{os.NewFile(uintptr(pair[1]), "server")}, Stderr: os.Stderr,
	}
	if err := server.Start(); err != nil {
		return err
	}
	unix.Close(pair[1])
	listener, err := filterClock()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	var ready [1]byte
	if n, err := unix.Read(pair[0], ready[:]); n != 1 {
		return fmt.Errorf("the clock's server has ended (%v)", err)
	}
	unix.CloseOnExec(listener)
	return os.NewSyscallError("execve", unix.Exec(program, append([]string{program}, args...), os.Environ()))
}

// filterClock has this thread's questions for the time of day go to the listener that it returns.
func filterClock() (listener int, err error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	const nr, firstArgument = 0, 16 // offsets in struct seccomp_data
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
	}
	program := []unix.SockFilter{
		load(nr),
		unless(unix.SYS_CLOCK_GETTIME, 3),
		load(firstArgument),
		unless(unix.CLOCK_REALTIME, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return 0, os.NewSyscallError("seccomp", errno)
	}
	return int(fd), nil
}

// serveClock takes the vDSO from the process that is about to execute its program, and answers its
// questions for the time until it has ended.
func serveClock(file, process, thread string) error {
	runtime.LockOSThread()
	pid, err := strconv.Atoi(process)
	if err != nil {
		return err
	}
	tid, err := strconv.Atoi(thread)
	if err != nil {
		return err
	}
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(serverFD, buf, oob, 0)
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("no listener has come: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	if err := seize(tid); err != nil {
		return err
	}
	if _, err := unix.Write(serverFD, []byte{0}); err != nil {
		return os.NewSyscallError("write", err)
	}
	unix.Close(serverFD)
	if err := takeVDSO(pid); err != nil {
		return err
	}
	return answerClock(fds[0], file)
}

func seize(tid int) error {
	const seize = 0x4206 // PTRACE_SEIZE
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, seize, uintptr(tid), 0, unix.PTRACE_O_TRACEEXEC, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("ptrace", errno)
	}
	return nil
}

// takeVDSO waits for the process's execve, and has its new program see no vDSO: on the stack it
// finds the number of its arguments, these, the environment, and then pairs of which one says where
// the vDSO is (getauxval(3)). Lists end with zero.
func takeVDSO(pid int) error {
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err == unix.EINTR {
			continue
		} else if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		if status.Exited() || status.Signaled() {
			return errors.New("the process has ended before its program was executed")
		}
		if status.Stopped() && status.TrapCause() == unix.PTRACE_EVENT_EXEC {
			break
		}
		if err := unix.PtraceCont(pid, int(status.StopSignal())); err != nil {
			return os.NewSyscallError("ptrace", err)
		}
	}
	at, err := stackPointer(pid)
	if err != nil {
		return err
	}
	word := func(at uintptr) (uint64, error) {
		var b [8]byte
		_, err := unix.PtracePeekData(pid, at, b[:])
		return binary.NativeEndian.Uint64(b[:]), err
	}
	arguments, err := word(at)
	if err != nil {
		return os.NewSyscallError("ptrace", err)
	}
	at += 8 * uintptr(arguments+2)
	for w := uint64(1); w != 0; at += 8 {
		if w, err = word(at); err != nil {
			return os.NewSyscallError("ptrace", err)
		}
	}
	const end, ignore, vdso = 0, 1, 33 // AT_NULL, AT_IGNORE, AT_SYSINFO_EHDR
	for ; ; at += 16 {
		kind, err := word(at)
		if err != nil || kind == end {
			return errors.Join(err, unix.PtraceDetach(pid))
		}
		if kind == vdso {
			if _, err := unix.PtracePokeData(pid, at, binary.NativeEndian.AppendUint64(nil, ignore)); err != nil {
				return os.NewSyscallError("ptrace", err)
			}
		}
	}
}

// stackPointer is a stopped process's: the last but one of the numbers in proc_pid_syscall(5).
func stackPointer(pid int) (uintptr, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 3 {
		return 0, fmt.Errorf("the stack of process %d: %q", pid, raw)
	}
	at, err := strconv.ParseUint(fields[len(fields)-2], 0, 64)
	return uintptr(at), err
}

// Structs of linux/seccomp.h.
type seccompNotif struct {
	id          uint64
	pid, flags  uint32
	nr          int32
	arch        uint32
	instruction uint64
	args        [6]uint64
}

type seccompNotifResp struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

func answerClock(listener int, file string) error {
	ask := func(request uintptr, p unsafe.Pointer) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), request, uintptr(p))
		if errno != 0 {
			return errno
		}
		return nil
	}
	for {
		// It hangs up when no process is left that has the filter.
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return os.NewSyscallError("poll", err)
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return nil
		}
		var q seccompNotif
		if err := ask(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q)); err == unix.ENOENT || err == unix.EINTR {
			continue // whoever asked has gone
		} else if err != nil {
			return os.NewSyscallError("ioctl", err)
		}
		a := seccompNotifResp{id: q.id}
		if err := tellTime(int(q.pid), q.args[1], file); err != nil {
			a.err = -int32(unix.EFAULT)
		}
		if err := ask(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)); err != nil && err != unix.ENOENT {
			return os.NewSyscallError("ioctl", err)
		}
	}
}

// tellTime writes a struct timespec into a process.
func tellTime(pid int, to uint64, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	ahead, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		return err
	}
	now := time.Now().Add(time.Duration(ahead))
	b := binary.NativeEndian.AppendUint64(nil, uint64(now.Unix()))
	b = binary.NativeEndian.AppendUint64(b, uint64(now.Nanosecond()))
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	_, err = memory.WriteAt(b, int64(to))
	return err
}
