package browser

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// caller is a connection from an address.
type caller struct {
	net.Conn
	from string
}

func (c caller) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.from), 4711))
}

// Whoever has a whole IPv6 network has no more handshakes at once than one IPv4 address, and keeps
// nobody else out.
func TestHandshakesOfOneSource(t *testing.T) {
	r := &remote{shaking: make(map[netip.Addr]int)}
	var ends []func()
	for i := range handshakesOfOne {
		done, err := r.begin(caller{from: fmt.Sprintf("2001:db8:0:17::%x", i+1)})
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, done)
	}
	for _, c := range []struct {
		from string
		in   bool
	}{
		{"2001:db8:0:17:ffff::9", false},
		{"2001:db8:0:18::1", true},
		{"192.0.2.1", true},
		{"::ffff:192.0.2.1", true}, // the same
		{"192.0.2.1", true},
		{"192.0.2.1", true},
		{"192.0.2.1", false},
		{"192.0.2.2", true},
	} {
		if done, err := r.begin(caller{from: c.from}); (err == nil) != c.in {
			t.Errorf("one more from %s: %v", c.from, err)
		} else if err == nil {
			ends = append(ends, done)
		}
	}
	for _, done := range ends {
		done()
	}
	if r.total != 0 || len(r.shaking) != 0 {
		t.Errorf("once all have ended there are %d, %v", r.total, r.shaking)
	}
}
