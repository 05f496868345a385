package gateway

import (
	"net"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// caller is the end on this host of the connection by which Finish is asked for: libvirtd, or a
// client that runs libvirt's steps itself.
type caller interface {
	hungUp() bool // it has closed the connection, or we have
	ended() bool  // the process has ended; false where nobody can tell
	taken() bool  // it has read all that was written to it, and its connection is open; false where nobody can tell
}

// localCaller is the process of this host at the other end of a client's connection: libvirtd, or a
// client that runs libvirt's steps itself.
type localCaller struct {
	conn    *net.UnixConn
	pid     int
	started uint64 // 0: not known
}

func newLocalCaller(c *net.UnixConn) *localCaller {
	l := &localCaller{conn: c}
	if cred, err := sockets.PeerCred(c); err == nil && cred.Pid > 0 { // 0: of another pid namespace
		l.pid = int(cred.Pid)
		l.started, _ = virt.ProcessStarted(l.pid)
	}
	return l
}

// hungUp says whether it has closed the connection, or we have.
func (l *localCaller) hungUp() bool { return sockets.HungUp(l.conn) }

func (l *localCaller) taken() bool { return sockets.Taken(l.conn) }

func (l *localCaller) ended() bool { return hasEnded(l.pid, l.started) }

// hasEnded says whether a process has ended that was started then. Of one that nobody can tell of
// it says no.
func hasEnded(pid int, started uint64) bool {
	if started == 0 {
		return false
	}
	now, err := virt.ProcessStarted(pid)
	return err != nil || now != started
}
