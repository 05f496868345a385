package config

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/virt-sluice/sluice/tlsconf"
)

// priorities checks the priority strings, with GnuTLS's system file as it is
// now.
func (c *checker) priorities(cfg *Config) {
	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
	if err != nil {
		c.fault("", "%v", err)
		return
	}
	check := func(key, priority string) {
		if _, err := tlsconf.ParsePriority(priority, sys); err != nil {
			c.fault(key, "%v", err)
		}
	}
	if cfg.Priority == "" {
		check("", sys.DefaultPriority())
	} else {
		check("priority", cfg.Priority)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Peers)) {
		if p := cfg.Peers[name].Priority; p != "" {
			check("peers."+name+".priority", p)
		}
	}
}

// Policies are the host's priorities, parsed.
type Policies struct {
	Host  *tlsconf.Policy
	Peers map[string]*tlsconf.Policy // of each peer; the host's where it has none of its own

	Tunnels []*tlsconf.Policy // of each of Config.Tunnels, likewise
}

// Policies parses the priorities with GnuTLS's system file as it is now.
func (c *Config) Policies() (*Policies, error) {
	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
	if err != nil {
		return nil, err
	}
	host := c.Priority
	if host == "" {
		host = sys.DefaultPriority()
	}
	p := &Policies{Peers: make(map[string]*tlsconf.Policy, len(c.Peers))}
	if p.Host, err = tlsconf.ParsePriority(host, sys); err != nil {
		return nil, err
	}
	for name, peer := range c.Peers {
		if p.Peers[name] = p.Host; peer.Priority == "" {
			continue
		}
		if p.Peers[name], err = tlsconf.ParsePriority(peer.Priority, sys); err != nil {
			return nil, err
		}
	}
	for _, t := range c.Tunnels {
		policy := p.Host
		if t.Priority != "" {
			if policy, err = tlsconf.ParsePriority(t.Priority, sys); err != nil {
				return nil, fmt.Errorf("tunnel %q: %w", t.Name, err)
			}
		}
		p.Tunnels = append(p.Tunnels, policy)
	}
	return p, nil
}
