package peer

import (
	"fmt"
	"sync/atomic"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// ALPN tells sluice's connections from libvirt's on the one port.
const ALPN = "sluice/1"

// Peer is another host's sluice, as configured.
type Peer struct {
	Name  string
	Conf  config.Peer
	Rules tlsconf.Rules // for the names in its certificate

	Memory *stream.Memory       // holds what it sends
	Calls  []*libvirtrpc.Budget // that it may have in flight at libvirt

	// SluiceSeen says that its sluice has shown itself to this daemon. From then on nothing goes or
	// comes in clear for want of one: a port that refuses connections may be anybody's doing.
	SluiceSeen atomic.Bool
}

func makePeers(conf map[string]config.Peer) (map[string]*Peer, error) {
	peers := make(map[string]*Peer, len(conf))
	for name, c := range conf {
		rules, err := tlsconf.ParseRules(c.Names)
		if err != nil {
			return nil, fmt.Errorf("peers.%s.names: %w", name, err)
		}
		peers[name] = &Peer{Name: name, Conf: c, Rules: rules}
	}
	return peers, nil
}

// MayComeWithoutSluice says whether a peer may come without its sluice.
func (p *Peer) MayComeWithoutSluice() bool { return p.Conf.WithoutSluice != config.WithoutNo }

// SeenText is why p is not taken for a host without a sluice.
func (p *Peer) SeenText() string {
	return fmt.Sprintf("a sluice of %s's has spoken with this one: it has just been stopped, or somebody resets connections to it", p.Name)
}

// RestartHint says what to do where p has a sluice no more.
func (s *Set) RestartHint(p *Peer) string {
	return fmt.Sprintf("if it was removed from %s for good, restart sluice on %s", p.Name, s.Config.Name)
}
