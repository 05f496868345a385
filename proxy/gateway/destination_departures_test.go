package gateway

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
)

// Where a peer-to-peer migration leads is told by its URI as libvirt reads it.
func TestLeadsHere(t *testing.T) {
	g := New(&host.Host{State: new(host.State), Config: &config.Config{RunDir: "/run/sluice"}, Peers: &peer.Set{All: map[string]*peer.Peer{"host-b": {Name: "host-b"}}}}, nil)
	socket := "/run/sluice/peers/host-b/libvirt.sock"
	for _, c := range []struct {
		uri       string
		here, tls bool
	}{
		{"qemu+unix:///system?socket=" + socket, true, false},
		{"qemu+unix:///system?mode=direct&socket=" + socket, true, false},
		{"qemu+unix:///system?socket=" + socket + "&socket=/run/other.sock", false, false},
		{"qemu+unix:///system?socket=" + socket + "&SOCKET=/run/other.sock", false, false},
		{"qemu+tcp://host-c/system?socket=" + socket, false, false},
		{"qemu+unix:///system", false, false},
		{"qemu:///system", false, false},
		{"qemu+tcp://host-c/system", false, false},
		{"qemu+tls://host-c/system", false, true},
		{"qemu://host-c/system", false, true},
		{"qemu+ssh://root@host-c/system", false, true},
		{"qemu+ext://host-c/system?command=/bin/cat", false, false},
		{"%", false, false},
	} {
		if here, tls := g.leadsHere(&c.uri) == "host-b", encrypted(&c.uri); here != c.here || tls != c.tls {
			t.Errorf("%s: leads here %v, encrypted %v", c.uri, here, tls)
		}
	}
}
