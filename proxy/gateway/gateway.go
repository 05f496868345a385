package gateway

import (
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/host"
)

// Gateway is libvirt's protocol as it passes through this host's daemon.
type Gateway struct {
	*host.Host
	arrivals *arrival.Arrivals
	uris     openURIs
}

// New makes the gateway of a host to which guests come as arrivals.
func New(h *host.Host, arrivals *arrival.Arrivals) *Gateway {
	return &Gateway{Host: h, arrivals: arrivals}
}
