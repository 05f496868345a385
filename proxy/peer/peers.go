package peer

import (
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Set are those whom this host knows by their certificates, the sluices of other hosts and libvirt
// clients without one, and the certificates of its own that it shows them.
type Set struct {
	Config *config.Config
	Log    zerolog.Logger

	All      map[string]*Peer
	Certs    *Certificates
	Refusals refusals
	Clock    func() time.Time // by which peers' certificates are valid; nil is time.Now

	called     map[string]string // names of peers by what they are called
	clients    []*clientRule
	dnList     *tlsconf.Rules // tls_allowed_dn_list; nil if there is none
	pending    pending
	rates      acceptRates
	known      knownAddresses
	handshakes handshakePlaces
	Refusing   chan struct{} // places of those who are told why not
}

// New loads this host's certificates, and fails unless all is good.
func New(cfg *config.Config, log zerolog.Logger) (*Set, error) {
	s := &Set{
		Config: cfg, Log: log, called: cfg.Called(),
		Refusing: make(chan struct{}, MaxRefusals),
	}
	var err error
	if s.All, err = makePeers(cfg.Peers); err != nil {
		return nil, err
	}
	if s.clients, err = makeClientRules(cfg.Clients); err != nil {
		return nil, err
	}
	if cfg.AllowedDNs != nil {
		rules, err := config.ParseDNList(cfg.AllowedDNs)
		if err != nil {
			return nil, fmt.Errorf("tls_allowed_dn_list: %w", err)
		}
		s.dnList = &rules
	}
	if s.Certs, err = hostCertificates(cfg, log); err != nil {
		return nil, err
	}
	s.known.configure(s.All)
	all := libvirtrpc.NewBudget(callsOfAll)
	for _, p := range s.All {
		p.Memory, p.Calls = s.newMemory(), []*libvirtrpc.Budget{libvirtrpc.NewBudget(callsOfOne), all}
	}
	for _, c := range s.clients {
		c.memory, c.calls = s.newMemory(), []*libvirtrpc.Budget{libvirtrpc.NewBudget(callsOfOne), all}
	}
	return s, nil
}

// Calls in flight at libvirt, which has 20 workers for them (max_workers in libvirtd.conf), and
// more for those that never wait for a guest. One peer, or kind of client, never has all that
// others are left, and together they leave some for this host.
const (
	callsOfOne = 12
	callsOfAll = 18
)

// newMemory is what may be held at once of what one peer has sent.
func (s *Set) newMemory() *stream.Memory {
	return stream.NewMemory(s.Config.Limits.PeerMemory << 20)
}

// Called is the peer that a name or an address stands for, with or without an IPv6 address's
// brackets; nil if there is none. No name service is asked: somebody else could answer.
func (s *Set) Called(host string) *Peer { return s.All[s.called[config.HostKey(host)]] }
