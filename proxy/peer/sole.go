package peer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/tlsconf"
)

// A certificate is one peer's, whoever connects and whatever name was asked for. If it were a choice
// of several, by what they are called, each name would have a share and an access of its own.

// Identify finds the peer that a certificate stands for, nil if it is none. Those that are listed
// come first. The error is of one for which patterns stand, and that could be several hosts.
func (s *Set) Identify(id tlsconf.Identity) (*Peer, error) {
	for _, name := range slices.Sorted(maps.Keys(s.All)) {
		if _, ok := s.All[name].Rules.Match(id); ok {
			return s.All[name], nil
		}
	}
	name, err := s.Config.HostIn(id)
	if err != nil {
		return nil, fmt.Errorf("%s can't tell which host it is of: %w", s.Config.Name, err)
	}
	if listed := s.called[name]; listed != "" {
		return nil, fmt.Errorf("its name %s stands for the peer %s on %s, whose certificate has other names: add it to peers.%s.names there", name, listed, s.Config.Name, s.All[listed].Conf.Table())
	}
	return s.byPattern(name), nil
}

// Sole says why a host that was looked for as p, and has p's name in its certificate, is not p alone.
func (s *Set) Sole(p *Peer, id tlsconf.Identity) error {
	if !p.Found || s.byPattern(p.Name) == nil {
		return nil // or it was found by an earlier configuration, and has things to settle
	}
	is, err := s.Identify(id)
	if err != nil {
		return fmt.Errorf("its certificate is valid, but %w", err)
	}
	if is == nil || is.Name != p.Name {
		return fmt.Errorf("its certificate (%s) is that of another peer on %s: %s", id, s.Config.Name, is.name())
	}
	return nil
}

func (p *Peer) name() string {
	if p == nil {
		return "none"
	}
	return p.Name
}
