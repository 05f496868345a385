package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/virt-sluice/sluice/tlsconf"
)

// Policies are the host's priorities, parsed.
type Policies struct {
	Host  *tlsconf.Policy
	Peers map[string]*tlsconf.Policy // of each table of peers; the host's where it has none of its own

	Tunnels []*tlsconf.Policy // of each of Config.Tunnels, likewise
}

// priorities parses the priority strings, which may be faults.
func (c *checker) priorities(cfg *Config) {
	cfg.policies = cfg.parse(func(key string, err error) { c.fault(key, "%v", err) })
}

// Policies are the priorities as they were when the configuration was read.
func (c *Config) Policies() (*Policies, error) {
	if c.policies != nil {
		return c.policies, nil
	}
	return c.ReadPolicies()
}

// ReadPolicies parses the priorities anew, with GnuTLS's system file as it is now.
func (c *Config) ReadPolicies() (*Policies, error) {
	var faults []error
	p := c.parse(func(key string, err error) {
		if key != "" {
			err = fmt.Errorf("%s: %w", key, err)
		}
		faults = append(faults, err)
	})
	return p, errors.Join(faults...)
}

// parse tells fault what is wrong, with the key that has it; then there are no policies.
func (c *Config) parse(fault func(key string, err error)) *Policies {
	sys, err := tlsconf.LoadSystem(tlsconf.SystemFile(os.Getenv, ""))
	if err != nil {
		fault("", err)
		return nil
	}
	good := true
	policy := func(key, priority string) *tlsconf.Policy {
		p, err := tlsconf.ParsePriority(priority, sys)
		if err != nil {
			fault(key, err)
			good = false
		}
		return p
	}
	all := &Policies{Peers: make(map[string]*tlsconf.Policy)}
	if c.Priority == "" {
		all.Host = policy("", sys.DefaultPriority())
	} else {
		all.Host = policy("priority", c.Priority)
	}
	tables := c.tables()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if all.Peers[name] = all.Host; tables[name].Priority != "" {
			all.Peers[name] = policy("peers."+name+".priority", tables[name].Priority)
		}
	}
	for i, t := range c.Tunnels {
		own := all.Host
		if t.Priority != "" {
			own = policy(fmt.Sprintf("tunnel.%d.priority", i), t.Priority)
		}
		all.Tunnels = append(all.Tunnels, own)
	}
	if !good {
		return nil
	}
	return all
}
