package peer

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mostBackOff is the longest pause of TCP's between two attempts to send again what is not
// acknowledged. By itself TCP doubles it each time: after an outage of 16 s it may be silent for
// another 16, and idle_timeout is over before it tries.
const mostBackOff = 2 * time.Second

// backOffLess is a net.Dialer's Control. Kernels before 6.15 have no such option, and double.
func backOffLess(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(mostBackOff.Milliseconds()))
	})
}

// backsOffLess does the same to a connection that was accepted.
func backsOffLess(c *net.TCPConn) {
	if raw, err := c.SyscallConn(); err == nil {
		backOffLess("", "", raw)
	}
}
