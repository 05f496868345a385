package peer

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Set are those whom this host knows by their certificates, the sluices of other hosts and libvirt
// clients without one, and the certificates of its own that it shows them: as one configuration has
// it. It is not changed; Next makes another.
type Set struct {
	Config *config.Config
	Log    zerolog.Logger

	All      map[string]*Peer // those that are listed
	Certs    *Certificates
	Policies *config.Policies
	Clock    func() time.Time // by which peers' certificates are valid; nil is time.Now

	called  map[string]string // names of peers by what they are called
	clients []*clientRule
	dnList  *tlsconf.Rules // tls_allowed_dn_list; nil if there is none
	former  []former
	earlier []earlierPatterns
	at      map[netip.Addr]bool // peers' addresses, by the configuration
	*port
}

// port is what goes on at the port, from one configuration to the next.
type port struct {
	// Elsewhere, if not nil, says whether another process of this host has taken a connection, which
	// begins with a TLS record. Then its own descriptor of it is left to be closed.
	Elsewhere func(ctx context.Context, c *net.TCPConn, record []byte) bool
	// Worker, if not nil, returns once libvirt has a worker left (see libvirtrpc.NewTurns).
	Worker func(context.Context) error

	Refusals   refusals
	Refusing   chan struct{} // places of those who are told why not
	pending    pending
	rates      acceptRates
	known      knownAddresses
	found      foundHosts
	handshakes handshakePlaces
	calls      *libvirtrpc.Budget // of all callers at libvirt
	turns      *libvirtrpc.Budget // in which calls go there
}

// New loads this host's certificates, and fails unless all is good.
func New(cfg *config.Config, log zerolog.Logger) (*Set, error) {
	s := &Set{Log: log, port: &port{
		Refusing: make(chan struct{}, MaxRefusals), calls: libvirtrpc.NewBudget(callsOfAll),
		found: foundHosts{all: make(map[string]*found), known: make(chan struct{}, 1)},
	}}
	s.turns = libvirtrpc.NewTurns(func(ctx context.Context) error {
		if s.Worker == nil {
			return nil
		}
		return s.Worker(ctx)
	})
	return s.Next(cfg)
}

// Next is the set as another configuration has it. Certificates are loaded where it names others.
// s stays as it is. TakeEffect follows once the next one takes its place.
func (s *Set) Next(cfg *config.Config) (*Set, error) {
	n := &Set{Config: cfg, Log: s.Log, Clock: s.Clock, called: cfg.Called(), port: s.port}
	var err error
	if n.Policies, err = cfg.Policies(); err != nil {
		return nil, err
	}
	if err := n.makePeers(s); err != nil {
		return nil, err
	}
	if err := n.makeClients(s.clients); err != nil {
		return nil, err
	}
	if cfg.AllowedDNs != nil {
		rules, err := config.ParseDNList(cfg.AllowedDNs)
		if err != nil {
			return nil, fmt.Errorf("tls_allowed_dn_list: %w", err)
		}
		n.dnList = &rules
	}
	n.at = configured(n.All)
	n.former, n.earlier = s.formerIn(n), s.patternsBefore()
	for name, p := range s.All {
		if n.byPattern(name) != nil {
			s.found.adopt(p, time.Now())
		}
	}
	if n.Certs = s.Certs; n.Certs == nil || cfg.Certificates != s.Config.Certificates {
		if n.Certs, err = LoadCertificates(cfg.Certificates, n.Policies.Host, s.Log); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// TakeEffect changes what has been lent to what is the configuration's now.
func (s *Set) TakeEffect() {
	s.Certs.SetPolicy(s.Policies.Host)
	for _, p := range s.All {
		p.Memory.Resize(s.memory())
	}
	for _, c := range s.clients {
		c.Memory.Resize(s.memory())
	}
	s.found.each(func(_ string, h *found) { h.taken.Memory.Resize(s.memory()) })
}

// Policy is that of connections with a peer.
func (s *Set) Policy(p *Peer) *tlsconf.Policy {
	return cmp.Or(s.Policies.Peers[p.Conf.Table()], s.Policies.Host)
}

// Find is the peer of a name, also one that is none any more.
func (s *Set) Find(name string) *Peer {
	if p := s.Get(name); p != nil {
		return p
	}
	if i := slices.IndexFunc(s.former, func(f former) bool { return f.peer.Name == name }); i >= 0 {
		return s.former[i].peer
	}
	for _, e := range s.earlier {
		if e.config.PatternOf(name) != "" {
			conf, _ := e.config.Peer(name)
			return s.foundPeer(name, conf)
		}
	}
	return nil
}

// Get is the peer of a name, by its table or by a pattern; nil if it is none.
func (s *Set) Get(name string) *Peer {
	if p := s.All[name]; p != nil {
		return p
	}
	return s.byPattern(name)
}

// Names are those of all that are listed, and of the hosts of patterns that have shown their
// certificates.
func (s *Set) Names() []string {
	names := slices.Collect(maps.Keys(s.All))
	s.found.each(func(name string, h *found) {
		if h.known && s.called[name] == "" && s.Config.PatternOf(name) != "" {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return names
}

// Calls in flight at libvirt, which has 20 workers for them (max_workers in libvirtd.conf), and
// more for those that never wait for a guest. One peer, or kind of client, never has all that
// others are left, and together they leave some for this host.
const (
	callsOfOne = 12
	callsOfAll = 18
)

// newTaken is for one peer, or the clients of one table.
func (s *Set) newTaken() *Taken {
	return &Taken{Memory: stream.NewMemory(s.memory()), Calls: []*libvirtrpc.Budget{libvirtrpc.NewBudget(callsOfOne), s.calls, s.turns}}
}

// Turn waits until a call of this host's own may go to libvirt, after those before have left a worker,
// and returns what tells that it is replied to.
func (s *Set) Turn() (leave func()) {
	leave, _ = libvirtrpc.TakePlaces(context.Background(), []*libvirtrpc.Budget{s.turns})
	return leave
}

// memory is how many bytes may be held at once of what one peer has sent.
func (s *Set) memory() int64 { return s.Config.Limits.PeerMemory << 20 }

// Called is the peer that a name or an address stands for, with or without an IPv6 address's
// brackets; nil if there is none. No name service is asked: somebody else could answer.
func (s *Set) Called(host string) *Peer { return s.Get(s.NameOf(host)) }

// NameOf is the name of the peer that Called finds; empty if there is none.
func (s *Set) NameOf(host string) string {
	key := config.HostKey(host)
	if name := s.called[key]; name != "" || s.Config.PatternOf(key) == "" {
		return name
	}
	return key
}
