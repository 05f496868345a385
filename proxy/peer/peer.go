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

// Peer is another host's sluice, as one configuration has it.
type Peer struct {
	Name  string
	Conf  config.Peer
	Rules tlsconf.Rules // for the names in its certificate
	*Taken
	Found bool // by a pattern, not listed

	// SluiceSeen says that its sluice has shown itself to this daemon. From then on nothing goes or
	// comes in clear for want of one: a port that refuses connections may be anybody's doing. A
	// reload does not change it.
	SluiceSeen *atomic.Bool
}

// Taken is what a peer, or the clients of one table, have taken of this host, from one configuration
// to the next.
type Taken struct {
	Memory *stream.Memory       // holds what they send
	Calls  []*libvirtrpc.Budget // that they may have in flight at libvirt
}

// makePeers takes over what is known of those that there were, also of those that were removed and
// come back.
func (s *Set) makePeers(before *Set) error {
	s.All = make(map[string]*Peer, len(s.Config.Peers))
	for name, c := range s.Config.Peers {
		rules, err := tlsconf.ParseRules(c.Names)
		if err != nil {
			return fmt.Errorf("peers.%s.names: %w", name, err)
		}
		p := &Peer{Name: name, Conf: c, Rules: rules}
		if b := before.Find(name); b != nil {
			p.Taken, p.SluiceSeen = b.Taken, b.SluiceSeen
		} else {
			p.Taken, p.SluiceSeen = s.newTaken(), new(atomic.Bool)
		}
		s.All[name] = p
	}
	return nil
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
