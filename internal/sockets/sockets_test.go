package sockets

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

func addrPort(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A connection's owner is found by either family, also where one end takes an
// IPv4 address for an IPv6 one.
func TestOwner(t *testing.T) {
	for _, c := range []struct{ listen, dial string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "[::1]"}, {"[::]:0", "127.0.0.1"},
	} {
		l, err := net.Listen("tcp", c.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		near, err := net.Dial("tcp", c.dial+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		local, remote := addrPort(t, far.RemoteAddr()), addrPort(t, far.LocalAddr())
		if uid, _, err := Owner(local, remote); err != nil || uid != os.Getuid() {
			t.Errorf("%v: uid %d, %v", c, uid, err)
		}
		near.Close()
		io.Copy(io.Discard, far)
		if _, _, err := Owner(local, remote); err == nil || !strings.Contains(err.Error(), "closed by its process") {
			t.Errorf("%v closed: %v", c, err)
		}
		if _, _, err := Owner(netip.MustParseAddrPort("192.0.2.1:1"), remote); err == nil || !strings.Contains(err.Error(), "not connected") {
			t.Errorf("%v: a connection that is none: %v", c, err)
		}
	}
}

func TestListeners(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:0": "127.0.0.1", "[::1]:0": "::1", ":0": "::", "0.0.0.0:0": "0.0.0.0"} {
		l, err := net.Listen(map[bool]string{true: "tcp4", false: "tcp"}[want == "0.0.0.0"], listen)
		if err != nil {
			t.Fatal(err)
		}
		port := addrPort(t, l.Addr()).Port()
		got, err := Listeners(port)
		if err != nil || len(got) != 1 || got[0] != (Listener{netip.MustParseAddr(want), os.Getuid(), true, got[0].Inode}) {
			t.Errorf("%s: %+v, %v", listen, got, err)
		}
		l.Close()
		if got, err := Listeners(port); err != nil || len(got) != 0 {
			t.Errorf("closed: %+v, %v", got, err)
		}
	}
}

// Another process's, of another user, is told from this one's.
func TestOtherListener(t *testing.T) {
	line, end := needs.Again(t, 4242, listenVariable+"=1")
	at, err := netip.ParseAddrPort(line)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Listeners(at.Port())
	if err != nil || len(got) != 1 || got[0] != (Listener{at.Addr(), 4242, false, got[0].Inode}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// listenVariable makes the test's program one that listens until its standard input ends.
const listenVariable = "SLUICE_TEST_LISTEN"

func TestMain(m *testing.M) {
	if os.Getenv(listenVariable) == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // a child, which ends by it
	}
	fmt.Println(l.Addr())
	io.Copy(io.Discard, os.Stdin)
	l.Close()
}

func TestSource(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::", "::1": "::",
	} {
		if got := Source(netip.MustParseAddr(addr)); got != netip.MustParseAddr(want) {
			t.Errorf("the source of %s is %v, want %s", addr, got, want)
		}
	}
}
