package hosttest

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a name service about which a test decides. The zero value knows no name.
type Names struct {
	mu      sync.Mutex
	answers map[string][]string
}

// Says has it answer for a name by one address after the other, and by the last from then on.
func (n *Names) Says(name string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answers == nil {
		n.answers = make(map[string][]string)
	}
	n.answers[name+"."] = addrs
}

// Instead has this process ask n in place of its own name service, until the test's end. The test
// may not be a parallel one.
func (n *Names) Instead(t *testing.T) {
	t.Helper()
	t.Setenv("SLUICE_TEST_NAMES", "1") // fails in a parallel test
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", udp.LocalAddr().String())
	}}
	var serving sync.WaitGroup
	serving.Go(func() { n.Serve(udp) })
	t.Cleanup(func() {
		net.DefaultResolver = own
		udp.Close()
		serving.Wait()
	})
}

// Serve answers until the socket is closed.
func (n *Names) Serve(udp net.PacketConn) {
	packet := make([]byte, 1<<10)
	for {
		size, from, err := udp.ReadFrom(packet)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(packet[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: true, RecursionAvailable: true}, Questions: m.Questions}
		if addr, known := n.answer(q); !known {
			m.RCode = dnsmessage.RCodeNameError
		} else if addr.IsValid() {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: addr.As4()},
			}}
		}
		if reply, err := m.Pack(); err == nil {
			udp.WriteTo(reply, from)
		}
	}
}

// answer is what is next, for a question that is about an IPv4 address.
func (n *Names) answer(q dnsmessage.Question) (addr netip.Addr, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := strings.ToLower(q.Name.String())
	list := n.answers[name]
	if len(list) == 0 || q.Type != dnsmessage.TypeA {
		return addr, len(list) > 0
	}
	if len(list) > 1 {
		n.answers[name] = list[1:]
	}
	return netip.MustParseAddr(list[0]), true
}
