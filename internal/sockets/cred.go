package sockets

import (
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// PeerCred is who is at the other end of a unix socket: who connected, or who listens.
func PeerCred(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, os.NewSyscallError("getsockopt SO_PEERCRED", sockErr)
}

// PeerUID is whose process is at the other end of a connection within this host, unix or TCP.
func PeerUID(c net.Conn) (int, error) {
	if c, ok := c.(*net.UnixConn); ok {
		cred, err := PeerCred(c)
		if err != nil {
			return -1, err
		}
		return int(cred.Uid), nil
	}
	uid, _, err := Owner(addrPorts(c))
	return uid, err
}

// PeerInode is the inode of the socket at the other end of a TCP connection within this host.
func PeerInode(c net.Conn) (string, error) {
	_, inode, err := Owner(addrPorts(c))
	return inode, err
}

func addrPorts(c net.Conn) (remote, local netip.AddrPort) {
	return c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
}

// Source is what bounds on an address are kept by: whoever has one IPv6 address has all of its /64
// (RFC 4291, section 2.5.1; RFC 6177), and an IPv4 address stands for itself.
func Source(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, _ := a.Prefix(64) // which an IPv6 address always has
	return p.Addr()
}
