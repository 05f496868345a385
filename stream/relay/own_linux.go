package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// ownSocket is a socket that a line has taken out of Go's poller: its system
// calls wait.
type ownSocket struct{ fd int }

// reset makes those who read and write return. A TCP connection then ends with
// a reset when it is closed, unsent bytes and all.
func (s *ownSocket) reset() {
	unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Shutdown(s.fd, unix.SHUT_RDWR)
}

func (s *ownSocket) setWriteDeadline(t time.Time) error {
	tv := unix.NsecToTimeval(max(time.Until(t), time.Millisecond).Nanoseconds())
	return unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
}
