package check

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
)

// wantedPipe is the size of the pipes that a relay moves bytes through.
const wantedPipe = 1 << 20

// limits looks at what the kernel lets this process have. The command line's
// are not the daemon's, which systemd sets.
func (h *Host) limits(l *control.Findings) {
	whose := "of the daemon"
	if h.By == control.ByCommand {
		whose = "of this command; systemd sets the daemon's"
	}
	var files, memory unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		most := session.Fit(files.Cur)
		if most < uint64(h.Config.Limits.Sessions) {
			l.Warn("nofile", "nofile", "raise LimitNOFILE in sluice.service, or lower limits.sessions",
				"%d open files are allowed (%s): enough for some %d sessions with one memory channel each, and limits.sessions is %d", files.Cur, whose, most, h.Config.Limits.Sessions)
		} else {
			l.OK("nofile", "%d open files are allowed (%s)", files.Cur, whose)
		}
	}
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &memory); err == nil {
		most := strconv.FormatUint(memory.Cur>>10, 10) + " KiB"
		if memory.Cur == unix.RLIM_INFINITY {
			most = "any amount"
		}
		l.OK("memlock", "%s of memory may be locked (%s); sluice locks none", most, whose)
	}
	h.pipes(l)
	h.qemuSocket(l)
}

// pipes makes one as a relay does.
func (h *Host) pipes(l *control.Findings) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		l.Fail("pipe", "pipe", "raise the limit of open files", "a pipe can't be made: %v", err)
		return
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	size, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, wantedPipe)
	if err != nil || size < wantedPipe {
		have, _ := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
		l.Warn("pipe", "pipe", "sysctl -w fs.pipe-max-size=1048576, and see fs.pipe-user-pages-soft",
			"pipes have %d bytes and not %d (%v): data in clear costs more CPU", have, wantedPipe, err)
		return
	}
	l.OK("pipe", "pipes may have %d KiB", size>>10)
}

// wantedSendBuffer is the size of the buffer behind QEMU's socket from which on a migration gets no
// faster (bench/NOTES.md).
const wantedSendBuffer = 1 << 20

// qemuSocket makes one as libvirt does for QEMU at the source, which leaves it as the kernel has it.
func (h *Host) qemuSocket(l *control.Findings) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.Fail("socket", "socket", "raise the limit of open files", "a socket can't be made: %v", err)
		return
	}
	defer unix.Close(fd)
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	advice := ""
	if size < wantedSendBuffer {
		advice = "; `sysctl -w net.core.wmem_default=1048576`, and the same in a file of /etc/sysctl.d, makes migrations up to a third faster"
	}
	if err == nil {
		l.OK("socket", "QEMU may hand over %d KiB at once (net.core.wmem_default)%s", size>>10, advice)
	}
}
