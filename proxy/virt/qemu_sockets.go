package virt

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/virt-sluice/sluice/internal/sockets"
)

// HasEnd says whether this process has the other end of a connection within this host: it is the
// one that connected, or, by a unix socket, that listens. All QEMUs of a host may have one uid, and
// each may be in the hands of its guest, so the uid alone does not tell whose memory or disk goes
// by it.
func (p *QEMUProcess) HasEnd(c net.Conn) error {
	if unix, is := c.(*net.UnixConn); is {
		cred, err := sockets.PeerCred(unix)
		if err != nil {
			return err
		}
		if int(cred.Pid) != p.PID {
			return fmt.Errorf("process %d is at its other end, and the guest's QEMU is process %d", cred.Pid, p.PID)
		}
		return p.alive() // and still has the pid
	}
	inode, err := sockets.PeerInode(c)
	if err != nil {
		return err
	}
	return p.hasSocket(inode)
}

// Listens says whether this process, and no other, listens at an address of this host.
func (p *QEMUProcess) Listens(at netip.AddrPort) error {
	all, err := sockets.Listeners(at.Port())
	if err != nil {
		return err
	}
	found := false
	for _, l := range all {
		if l.Addr.IsUnspecified() || l.Addr == at.Addr().Unmap() {
			found = true
			if err := p.hasSocket(l.Inode); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("nothing listens at %v", at)
	}
	return nil
}

func (p *QEMUProcess) hasSocket(inode string) error {
	has, err := p.Observer.HasSocket(p.PID, inode)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("look at the sockets of QEMU: %w: that takes sluice-observer.socket (systemctl enable --now sluice-observer.socket), or CAP_SYS_PTRACE when sluice starts", err)
	}
	if err != nil {
		return p.gone(err)
	}
	if !has {
		return fmt.Errorf("another process than the guest's QEMU (process %d) has its other end", p.PID)
	}
	return p.alive()
}
