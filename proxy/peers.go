package proxy

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Peers are those whom this host knows by their certificates, the sluices of other hosts and libvirt
// clients without one, and the certificates of its own that it shows them.
type Peers struct {
	Config *config.Config
	Log    zerolog.Logger

	All      map[string]*peer
	Certs    *certificates
	Refusals refusals
	Clock    func() time.Time // by which peers' certificates are valid; nil is time.Now

	clients    []*clientRule
	dnList     *tlsconf.Rules // tls_allowed_dn_list; nil if there is none
	waiting    waiting
	handshakes chan struct{} // places of those in their handshake
	refusing   chan struct{} // places of those who are told why not
}

// NewPeers loads this host's certificates, and fails unless all is good.
func NewPeers(cfg *config.Config, log zerolog.Logger) (*Peers, error) {
	d := &Peers{
		Config: cfg, Log: log,
		handshakes: make(chan struct{}, maxHandshakes), refusing: make(chan struct{}, maxRefusals),
	}
	var err error
	if d.All, err = makePeers(cfg.Peers); err != nil {
		return nil, err
	}
	if d.clients, err = makeClientRules(cfg.Clients); err != nil {
		return nil, err
	}
	if cfg.AllowedDNs != nil {
		rules, err := config.ParseDNList(cfg.AllowedDNs)
		if err != nil {
			return nil, fmt.Errorf("tls_allowed_dn_list: %w", err)
		}
		d.dnList = &rules
	}
	if d.Certs, err = loadCertificates(cfg, log); err != nil {
		return nil, err
	}
	for _, p := range d.All {
		p.memory = d.newMemory()
	}
	for _, c := range d.clients {
		c.memory = d.newMemory()
	}
	return d, nil
}

// newMemory is what may be held at once of what one peer has sent.
func (d *Peers) newMemory() *stream.Memory {
	return stream.NewMemory(d.Config.Limits.PeerMemory << 20)
}
