package peer

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Connections of both ends have the bound, where the kernel has one.
func TestBackOffLess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialer := net.Dialer{Control: backOffLess}
	out, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	backsOffLess(in.(*net.TCPConn))
	for name, c := range map[string]net.Conn{"dialled": out, "accepted": in} {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var ms int
		raw.Control(func(fd uintptr) { ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS) })
		if errors.Is(err, unix.ENOPROTOOPT) {
			t.Skip("this kernel has no TCP_RTO_MAX_MS (Linux 6.15)")
		}
		if err != nil || ms != int(mostBackOff.Milliseconds()) {
			t.Errorf("%s: %d ms, %v", name, ms, err)
		}
	}
}
