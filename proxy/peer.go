package proxy

import (
	"fmt"
	"sync/atomic"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// alpn tells sluice's connections from libvirt's on the one port.
const alpn = check.ALPN

// peer is another host's sluice, as configured.
type peer struct {
	name  string
	conf  config.Peer
	rules tlsconf.Rules // for the names in its certificate

	memory *stream.Memory // holds what it sends

	// seen says that its sluice has shown itself to this daemon. From then on
	// nothing goes or comes in clear for want of one: a port that refuses
	// connections may be anybody's doing.
	seen atomic.Bool
}

func makePeers(conf map[string]config.Peer) (map[string]*peer, error) {
	peers := make(map[string]*peer, len(conf))
	for name, c := range conf {
		rules, err := tlsconf.ParseRules(c.Names)
		if err != nil {
			return nil, fmt.Errorf("peers.%s.names: %w", name, err)
		}
		peers[name] = &peer{name: name, conf: c, rules: rules}
	}
	return peers, nil
}

// mayComeBare says whether a peer may come without its sluice.
func (p *peer) mayComeBare() bool { return p.conf.WithoutSluice != config.WithoutNo }

// hadSluice is why p is not taken for a host without a sluice.
func (p *peer) hadSluice() string {
	return fmt.Sprintf("a sluice of %s's has spoken with this one: it has just been stopped, or somebody resets connections to it", p.name)
}

// forget says what to do where p has a sluice no more.
func (d *Peers) forget(p *peer) string {
	return fmt.Sprintf("if it was removed from %s for good, restart sluice on %s", p.name, d.Config.Name)
}
