package rules

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// listen listens in the goroutine's network.
func listen(t *testing.T, address string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

var dialer = net.Dialer{Timeout: 10 * time.Second}

// refused checks that a connection is, and soon.
func refused(t *testing.T, address string) {
	t.Helper()
	c, err := dialer.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%s: %v", address, err)
	}
}

// arrives checks that a connection to an address comes to l.
func arrives(t *testing.T, address string, l *net.TCPListener) *net.TCPConn {
	t.Helper()
	c, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.SetDeadline(time.Now().Add(10 * time.Second))
	far, err := l.AcceptTCP()
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	t.Cleanup(func() { far.Close() })
	return far
}

func TestRedirects(t *testing.T) {
	needs.Network(t)
	there := needs.Link(t)
	want := table(route("host-b", needs.There4), route("host-b", needs.There6))
	up(t, want, true)
	// Who would get what is in clear.
	var clear [2]*net.TCPListener
	there(func() {
		clear = [2]*net.TCPListener{listen(t, ":49152"), listen(t, ":49216")}
	})
	refused(t, needs.There4+":49152")
	refused(t, "["+needs.There6+"]:49215")

	for _, at := range []struct{ listen, to string }{{"127.0.0.1:16516", needs.There4 + ":49152"}, {"[::1]:16516", "[" + needs.There6 + "]:49215"}} {
		l := listen(t, at.listen)
		c := arrives(t, at.to, l)
		if to, err := Original(c); err != nil || to != netip.MustParseAddrPort(at.to) {
			t.Errorf("meant for %v, %v; want %s", to, err, at.to)
		}
		// One that comes by itself says so.
		if to, err := Original(arrives(t, at.listen, l)); err == nil && to.String() != at.listen {
			t.Errorf("meant for %v", to)
		}
		l.Close()
		refused(t, at.to)
	}
	arrives(t, needs.There4+":49216", clear[1]) // no port of the range
	st, err := Read()
	if err != nil || st.Redirected[0] != 3 || st.Redirected[1] != 3 || st.Escaped[0] != 0 {
		t.Errorf("counted %+v, %v", st, err)
	}

	// Another table exempts the port from address translation.
	needs.Run(t, "table inet other {\n\tchain raw {\n\t\ttype filter hook output priority raw; policy accept;\n\t\ttcp dport 49152 notrack\n\t}\n}\n", "nft", "-f", "-")
	refused(t, needs.There4+":49152")
	if st, err = Read(); err != nil || st.Escaped[0] == 0 {
		t.Errorf("counted %+v, %v", st, err)
	}
	clear[0].SetDeadline(time.Now())
	if c, err := clear[0].Accept(); err == nil {
		t.Errorf("%v came in clear", c.RemoteAddr())
	}
}

// A name that leads to a host that is no peer leads nowhere, where the configuration says so.
func TestPeersAlone(t *testing.T) {
	needs.Network(t)
	there := needs.Link(t)
	want := table(route("host-b", needs.There6))
	up(t, want, true)
	var third, other *net.TCPListener
	there(func() { third, other = listen(t, ":49152"), listen(t, ":49216") })
	arrives(t, needs.There4+":49152", third)
	want.PeersAlone = true
	up(t, want, true)
	refused(t, needs.There4+":49152")
	arrives(t, needs.There4+":49216", other)
	arrives(t, "["+needs.There6+"]:49152", listen(t, "[::1]:16516"))
	here := listen(t, ":49152")
	arrives(t, "127.0.0.1:49152", here)
	arrives(t, needs.Here4+":49152", here)
	if st, err := Read(); err != nil || st.Elsewhere == 0 {
		t.Errorf("counted %+v, %v", st, err)
	}
}

func TestClosesToOthers(t *testing.T) {
	needs.Network(t)
	there := needs.Link(t)
	l, open := listen(t, ":49152"), listen(t, ":49151")
	var before, far net.Conn
	there(func() { before, _ = dialer.Dial("tcp", needs.Here4+":49152") })
	up(t, table(route("host-b", needs.There4)), true)
	there(func() {
		refused(t, needs.Here4+":49152")
		refused(t, "["+needs.Here6+"]:49152")
		refused(t, needs.Here4+":49215") // where nobody listens
		far, _ = dialer.Dial("tcp", needs.Here4+":49151")
	})
	if far == nil || before == nil {
		t.Fatal("not connected")
	}
	defer far.Close()
	defer before.Close()
	open.Accept()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	echoed(t, before, c) // it goes on
	arrives(t, "127.0.0.1:49152", l)
	arrives(t, "[::1]:49152", l)
	arrives(t, needs.Here4+":49152", l)
	if st, err := Read(); err != nil || st.Refused != 3 {
		t.Errorf("counted %+v, %v", st, err)
	}

	// A connection of this host's own may have a port of the range.
	var server *net.TCPListener
	there(func() { server = listen(t, ":7000") })
	own := net.Dialer{LocalAddr: &net.TCPAddr{Port: 49200}, Timeout: 10 * time.Second}
	mine, err := own.Dial("tcp", needs.There4+":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	its, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer its.Close()
	echoed(t, mine, its)
	// And so may one of the peer's.
	var theirs net.Conn
	there(func() {
		own := net.Dialer{LocalAddr: &net.TCPAddr{Port: 49201}, Timeout: 10 * time.Second}
		theirs, err = own.Dial("tcp", needs.Here4+":49151")
	})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if c, err = open.Accept(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoed(t, theirs, c)
}

func echoed(t *testing.T, a, b net.Conn) {
	t.Helper()
	for range 2 {
		a.SetDeadline(time.Now().Add(10 * time.Second))
		b.SetDeadline(time.Now().Add(10 * time.Second))
		var got [4]byte
		if _, err := a.Write([]byte("ping")); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(b, got[:]); err != nil || string(got[:]) != "ping" {
			t.Errorf("%q, %v", got, err)
		}
		a, b = b, a
	}
}

// Who may not is told what it takes.
func TestNotAllowed(t *testing.T) {
	needs.Network(t)
	unprivileged(t)
	for _, err := range []error{
		func() error { _, err := Up(table()); return err }(),
		func() error { _, err := Down(); return err }(),
		func() error { _, err := Read(); return err }(),
	} {
		if err == nil || !errors.Is(err, syscall.EPERM) {
			t.Errorf("%v", err)
		}
	}
}
