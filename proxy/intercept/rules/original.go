package rules

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Original is the address that a connection was meant for before the kernel redirected it to c. For
// one that was not redirected that is c's own, or an error.
func Original(c *net.TCPConn) (netip.AddrPort, error) {
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var to netip.AddrPort
	var sysErr error
	err = raw.Control(func(fd uintptr) {
		if local.Addr().Unmap().Is4() {
			to, sysErr = original4(int(fd))
		} else {
			to, sysErr = original6(int(fd))
		}
	})
	if err == nil {
		err = sysErr
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find where the connection was meant to go: %w", err)
	}
	return to, nil
}

// original4 asks by SO_ORIGINAL_DST (linux/netfilter_ipv4.h) for a sockaddr_in.
func original4(fd int) (netip.AddrPort, error) {
	var a unix.RawSockaddrInet4
	err := getsockopt(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), hostOrder(a.Port)), err
}

// original6 asks by IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv6/ip6_tables.h),
// which has the same number, for a sockaddr_in6.
func original6(fd int) (netip.AddrPort, error) {
	var a unix.RawSockaddrInet6
	err := getsockopt(fd, unix.SOL_IPV6, unix.SO_ORIGINAL_DST, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), hostOrder(a.Port)), err
}

func getsockopt(fd, level, option int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option), uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return os.NewSyscallError("getsockopt", syscall.Errno(errno))
	}
	return nil
}

// hostOrder is a port as a sockaddr has it, in the network's order.
func hostOrder(p uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], p)
	return binary.BigEndian.Uint16(b[:])
}
