package proxy

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
)

// Whoever floods the port, from an address of its own or from a peer's, and whether it says nothing
// or begins handshakes that it never ends, keeps no peer out: at the limits' defaults.
func TestFloodKeepsNoPeerOut(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	for _, from := range []string{"127.0.0.66", "127.0.0.1"} {
		for _, says := range []string{"", "\x16\x03\x01\x01\x00\x01"} {
			t.Run(fmt.Sprintf("%d bytes from %s", len(says), from), func(t *testing.T) {
				a, b := pairOfHosts(t, ca)
				b.start("", hosttest.PeerA)
				a.start("", peerTable(b, ""))
				if err := a.ask("host-b"); err != nil {
					t.Fatal(err)
				}
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
				for range 600 {
					c, err := dialer.DialContext(t.Context(), "tcp", b.listening())
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { c.Close() })
					c.Write([]byte(says))
				}
				began := time.Now()
				if err := a.ask("host-b"); err != nil {
					t.Errorf("the peer is kept out: %v", err)
				}
				if took := time.Since(began); took > b.now().Config.Limits.HandshakeTimeout/2 {
					t.Errorf("the peer waited for %v", took)
				}
			})
		}
	}
}
