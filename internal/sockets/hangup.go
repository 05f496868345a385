package sockets

import (
	"net"

	"golang.org/x/sys/unix"
)

// HungUp says whether the other end of a unix socket has closed it, also if there is something left
// to read; and of one that is closed here.
func HungUp(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	hungUp := true
	raw.Control(func(fd uintptr) {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(polled, 0)
		hungUp = err == nil && n > 0 && polled[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return hungUp
}

// Taken says whether the other end has read all that was written to c, and has not closed it since,
// which would take what it has not read for read.
func Taken(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	left := 1
	raw.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			left = n
		}
	})
	return left == 0 && !HungUp(c)
}
