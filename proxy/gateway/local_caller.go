package gateway

import (
	"net"

	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/virt"
)

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

// ended says whether the process has ended. Of one that nobody can tell of it says no.
func (l *localCaller) ended() bool {
	if l.started == 0 {
		return false
	}
	now, err := virt.ProcessStarted(l.pid)
	return err != nil || now != l.started
}
