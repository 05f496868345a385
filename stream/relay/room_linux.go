package relay

import (
	"math"
	"unsafe"

	"github.com/virt-sluice/sluice/stream/internal/buffer"
	"golang.org/x/sys/unix"
)

const (
	// unsentMost is how many bytes TCP takes beyond those that it has sent: more than
	// any link carries before we have seen that there is room again. What it receives
	// is bounded by net.ipv4.tcp_rmem alone: its tuning, which grows for who reads
	// fast, undoes TCP_WINDOW_CLAMP, and SO_RCVBUF may be as little as 208 KiB.
	unsentMost = 512 << 10
	// roomEnough is worth a move. Less is taken only where the kernel, too, says that
	// the socket can be written to.
	roomEnough = 64 << 10
)

// The packages raise net.core.wmem_default for the unix socket by which QEMU writes to us, and the
// sockets by which we write then have more room, too. More than the kernel's usual is used only for
// a reader that has been seen to read: TCP's tuning takes what is passed on at first for the work of
// a fast reader, and then keeps some 4 MiB for each stream that stands still.
const (
	usualRoom   = 208 << 10
	provenBytes = 1 << 20
)

// room returns about how many bytes a socket takes without waiting, and 0 where it
// is to be waited for: then the kernel will tell of room.
func room(fd int, tcp, proven bool) int {
	free := math.MaxInt
	var mem [9]uint32 // SK_MEMINFO_VARS, include/uapi/linux/sock_diag.h
	const wmemAlloc, sndbuf, wmemQueued = 2, 3, 5
	size := uint32(unsafe.Sizeof(mem))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0)
	if errno == 0 {
		used := int(max(mem[wmemAlloc], mem[wmemQueued])) // a unix socket has the first, TCP the second
		free = int(mem[sndbuf]) - used
		if !tcp && !proven && mem[sndbuf] > usualRoom && used > usualRoom-roomEnough {
			return 0 // a unix socket tells of room for each piece that is read once three quarters are free
		}
	}
	if tcp {
		if unsent, err := queued(fd, unix.SIOCOUTQNSD); err == nil {
			free = min(free, unsentMost-unsent)
		}
	}
	if free >= roomEnough {
		return free
	}
	// TCP tells of room only those whom it has told that there is none.
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if ready(fds[:]) {
		return max(free, buffer.RecordPlain)
	}
	return 0
}

// queued asks for the bytes in TCP's send queue: SIOCOUTQ those that were not
// acknowledged, a FIN counting one, SIOCOUTQNSD those that were not sent.
func queued(fd int, request uintptr) (int, error) {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// ready reports whether one of fds is, or may be, without waiting.
func ready(fds []unix.PollFd) bool {
	var now unix.Timespec
	n, _, _ := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return n != 0
}

func readable(fd uintptr) bool {
	return ready([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}})
}
