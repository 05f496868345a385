package sockets

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	own := func(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }
	_, inode, err := Owner(own(c.LocalAddr()), own(c.RemoteAddr()))
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := Process(inode); err != nil || pid != os.Getpid() {
		t.Errorf("it is process %d (%v), want %d", pid, err, os.Getpid())
	}
	c.Close()
	if pid, err := Process(inode); err == nil {
		t.Errorf("a closed socket is process %d's", pid)
	}
}
