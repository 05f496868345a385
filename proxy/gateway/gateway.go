package gateway

import (
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/host"
)

// Gateway is libvirt's protocol as it passes through this host's daemon.
type Gateway struct {
	*host.Host
	arrivals *arrival.Arrivals
	uris     *openURIs
}

// New makes the gateway of a host to which guests come as arrivals.
func New(h *host.Host, arrivals *arrival.Arrivals) *Gateway {
	return &Gateway{Host: h, arrivals: arrivals, uris: new(openURIs)}
}

// On is the gateway of the host as another configuration has it.
func (gw *Gateway) On(h *host.Host, arrivals *arrival.Arrivals) *Gateway {
	return &Gateway{Host: h, arrivals: arrivals, uris: gw.uris}
}

// now is the gateway as the newest configuration has it: for a session that begins, though the
// connection that asks for it is older.
func (gw *Gateway) now() *Gateway {
	h := gw.Now()
	if h == gw.Host {
		return gw
	}
	return gw.On(h, gw.arrivals.On(h))
}
